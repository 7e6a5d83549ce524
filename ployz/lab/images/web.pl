#!/usr/bin/perl
# A small HTTP server for trying things: `/` counts its requests in /data/counter and says which machine it is on,
# `/healthz` says that it runs. A request that was accepted is answered, also when the stop signal comes meanwhile.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);
use IO::Handle;
use POSIX ();
use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY IN6ADDR_ANY);

my $COUNTER     = '/data/counter';
my $PATIENCE_S  = 10;      # with a client that does not finish its request
my $LOOK_S      = 0.1;     # how often the stop signal is looked for
my $HEADER_MAX  = 16384;   # bytes
my $port        = $ENV{PORT};
my $machine     = $ENV{PLOYZ_MACHINE} || (POSIX::uname())[1];

my $stopping = 0;
$SIG{TERM} = $SIG{INT} = sub { $stopping = 1 };
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';     # children are reaped by the kernel

my $listener = listen_on($port);
until ($stopping) {
    my $readable = '';
    vec($readable, fileno($listener), 1) = 1;
    next unless select($readable, undef, undef, $LOOK_S) > 0;
    accept(my $client, $listener) or next;
    my $pid = fork() // next;
    if ($pid == 0) {
        close $listener;
        $SIG{TERM} = $SIG{INT} = 'IGNORE';
        alarm $PATIENCE_S;
        serve($client);
        exit 0;
    }
}
close $listener;
1 while wait() > 0;        # with SIGCHLD ignored: until the last child is gone

sub listen_on {
    my ($port) = @_;
    my ($socket, $address);
    if (socket($socket, AF_INET6, SOCK_STREAM, 0)) {
        setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);    # IPv4 as well
        $address = pack_sockaddr_in6($port, IN6ADDR_ANY);
    } else {
        socket($socket, AF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
        $address = pack_sockaddr_in($port, INADDR_ANY);
    }
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, $address) or die "port $port: $!\n";
    listen($socket, 1024) or die "listen: $!\n";
    return $socket;
}

sub serve {
    my ($client) = @_;
    my $request = '';
    until ($request =~ /\r?\n\r?\n/) {
        return if length $request > $HEADER_MAX;
        sysread($client, $request, 4096, length $request) or return;
    }
    my ($path) = $request =~ m{^[A-Z]+ ([^ ?]+)} or return;
    if ($path eq '/healthz') {
        answer($client, '200 OK', '{"ok": true}');
    } elsif ($path eq '/') {
        my $count = eval { count() };
        return answer($client, '500 Internal Server Error', qq({"error": "the counter cannot be written"})) unless $count;
        answer($client, '200 OK', qq({"machine": "$machine", "count": $count}));
    } else {
        answer($client, '404 Not Found', '{"error": "try / or /healthz"}');
    }
}

# One more, on the disk before it is told to anyone.
sub count {
    sysopen(my $file, $COUNTER, O_RDWR | O_CREAT) or die "$COUNTER: $!\n";
    flock($file, LOCK_EX) or die "$COUNTER: $!\n";
    my $text = <$file> // '0';
    my $count = int($text) + 1;
    sysseek($file, 0, 0);
    syswrite($file, "$count\n") or die "$COUNTER: $!\n";
    $file->sync or die "$COUNTER: $!\n";
    return $count;
}

sub answer {
    my ($client, $status, $body) = @_;
    my $length = length($body) + 1;
    syswrite($client, "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: $length\r\n"
        . "Connection: close\r\n\r\n$body\n");
}
