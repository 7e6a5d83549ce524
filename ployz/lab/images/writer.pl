#!/usr/bin/perl
# Appends lines of 128 bytes to /data/log and syncs after each batch: `NUMBER MICROSECONDS xxx…`. The numbers go on where the
# file ends, without a gap; the times (of the batch's start, since 1970) show how long nothing was written.
use strict;
use warnings;
use Fcntl;
use IO::Handle;
use POSIX ();

my $LOG        = '/data/log';
my $LINE_BYTES = 128;
my $rate       = $ENV{RATE};           # bytes per second
my $interval_s = $ENV{INTERVAL_MS} / 1000;

# At once, also in the middle of a write: what was synced is all that counts.
POSIX::sigaction($_, POSIX::SigAction->new(sub { POSIX::_exit(0) })) for POSIX::SIGTERM(), POSIX::SIGINT();

my %GETTIMEOFDAY = (x86_64 => 96, aarch64 => 169);    # Perl's base has no clock below a second
my $gettimeofday = $GETTIMEOFDAY{ (POSIX::uname())[4] } // die "unknown architecture\n";

sysopen(my $log, $LOG, O_WRONLY | O_CREAT) or die "$LOG: $!\n";
my $number = int((-s $log) / $LINE_BYTES);
truncate($log, $number * $LINE_BYTES) or die "$LOG: $!\n";    # a power cut can leave half a line
sysseek($log, 0, 2);

my $lines   = POSIX::ceil($rate * $interval_s / $LINE_BYTES);
my $padding = 'x' x ($LINE_BYTES - 31);
my $due_s   = now_us() / 1e6;
while (1) {
    my $now_us = now_us();
    my $batch = join '', map { sprintf "%12d %16d %s\n", ++$number, $now_us, $padding } 1 .. $lines;
    syswrite($log, $batch) == length $batch or die "$LOG: $!\n";
    $log->sync or die "$LOG: $!\n";
    $due_s += $interval_s;
    my $pause_s = $due_s - now_us() / 1e6;
    if ($pause_s > 0) { select(undef, undef, undef, $pause_s) }
    else              { $due_s = now_us() / 1e6 }    # too slow a disk: no burst to catch up
}

sub now_us {
    my $timeval = pack 'q2', 0, 0;
    syscall($gettimeofday, $timeval, 0) == 0 or die "gettimeofday: $!\n";
    my ($s, $us) = unpack 'q2', $timeval;
    return $s * 1_000_000 + $us;
}
