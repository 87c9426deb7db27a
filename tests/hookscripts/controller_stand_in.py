"""What answers the forwarder of notes in ssh's place, as a controller or as one that lies, dies or kills."""

from pathlib import Path
from typing import Any

from tests.hookscripts.cluster_node import ClusterNode
from tests.hookscripts.node import REPOSITORY
from tests.hookscripts.world import SPOOL

FORWARDER = REPOSITORY / "hookscripts" / "zlh-note-forwarder"
CONFIG = "/etc/zlh-hooks-node.conf"
GOT, CALLS = "/srv/got", "/srv/ssh-calls"
PROGRAM = r"""#!/usr/bin/perl
use strict;
use warnings;
my %how = HOW;
my $room = $how{bytes} // 1e9;
open my $got, '>>', '/srv/got' or die;
open my $calls, '>>', '/srv/ssh-calls' or die;
print {$calls} join("\n", @ARGV), "\n";
$got->autoflush(1);
binmode STDIN;
sub end { kill 'KILL', getppid if $how{kills}; exit($how{code} // 0) }
sub answer {
    my $line = shift;
    $line = substr $line, 0, $room if length $line > $room;
    $room -= length $line;
    syswrite STDOUT, $line;
    end() if $room <= 0 && exists $how{bytes};
}
while (1) {
    my @names;
    while (my $line = <STDIN>) {
        last if $line eq "\n";
        my ($name, $size) = split ' ', $line;
        read STDIN, my $text, $size;
        print {$got} "$name $text\n";
        push @names, $name;
    }
    last if !@names;
    1 while $how{silent} && <STDIN>;
    end() if exists $how{bytes} && $room == 0;
    answer($how{lie}) if exists $how{lie};
    answer(($how{word} // 'kept') . " $_\n") for @names;
}
exit($how{code} // 0);
"""


def put_controller(node: ClusterNode, **how: Any) -> None:
    """``bytes``: so many of its answers come; ``kills``: then its caller dies; ``word``: what it says of each note;
    ``lie``: a line before that; ``silent``: it never answers; ``code``: its exit code.
    """
    told = ", ".join(f"{key} => '{value}'" for key, value in how.items())
    node.write("/usr/sbin/ssh", PROGRAM.replace("HOW", f"({told})")).chmod(0o755)


def put_forwarder(node: ClusterNode) -> None:
    """A node that knows its controller and has notes for it, none yet."""
    node.write(CONFIG, "controller = zlh-hooks@127.0.0.1\n")
    spool_of(node).mkdir(mode=0o700, exist_ok=True)
    put_controller(node)


def put_units(node: ClusterNode, enabled: str = "enabled", active: str = "active") -> None:
    """What systemd says of each."""
    answers = f"case $1 in is-enabled) echo {enabled} ;; is-active) echo {active} ;; esac"
    node.write("/usr/sbin/systemctl", f"#!/bin/sh\n{answers}\n").chmod(0o755)


def spool_of(node: ClusterNode) -> Path:
    """As the test sees it."""
    return node.path(SPOOL)


def list_got(node: ClusterNode) -> "list[str]":
    """Names of notes that have reached the controller, in order."""
    return [line.split()[0] for line in node.path(GOT).read_text().splitlines()] if node.path(GOT).exists() else []


def forget(node: ClusterNode) -> None:
    """The controller starts anew."""
    node.path(GOT).unlink(missing_ok=True)
