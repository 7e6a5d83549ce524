# Answers every request at once, by one process, on connections that are kept: it is never what a load waits for.
use strict;
use warnings;
use Fcntl;
use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY IN6ADDR_ANY);

my $ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
my $stopping = 0;
$SIG{TERM} = sub { $stopping = 1 };
$SIG{PIPE} = 'IGNORE';
socket(my $listener, AF_INET6, SOCK_STREAM, 0) or die "socket: $!\n";
setsockopt($listener, IPPROTO_IPV6, IPV6_V6ONLY, 0);
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
bind($listener, pack_sockaddr_in6(8080, IN6ADDR_ANY)) or die "port 8080: $!\n";
listen($listener, 4096) or die "listen: $!\n";
fcntl($listener, F_SETFL, O_NONBLOCK) or die "listener: $!\n";
my (%client, %rest);
my $watched = '';
vec($watched, fileno($listener), 1) = 1;
until ($stopping) {
    my $readable = $watched;
    next unless select($readable, undef, undef, 0.05) > 0;
    if (vec($readable, fileno($listener), 1)) {
        while (accept(my $new, $listener)) {
            my $number = fileno $new;
            ($client{$number}, $rest{$number}) = ($new, '');
            vec($watched, $number, 1) = 1;
        }
    }
    for my $number (grep { vec($readable, $_, 1) && $client{$_} } 0 .. 8 * length($readable) - 1) {
        next if $number == fileno $listener;
        unless (sysread($client{$number}, $rest{$number}, 65536, length $rest{$number})) {
            vec($watched, $number, 1) = 0;
            close delete $client{$number};
            delete $rest{$number};
            next;
        }
        syswrite($client{$number}, $ANSWER) while $rest{$number} =~ s/\A.*?\r?\n\r?\n//s;
    }
}
