# Names the hook of backups in this node's /etc/vzdump.conf, or takes that back; docs/reference/vzdump-hook.md.
# zlh-hooks-node takes this in for --vzdump, and it borrows what that has for files and words.
#
# A script that is named there is kept and called first, and is put back as its line was. All else in that file stays.

use strict;
use warnings;
use Fcntl qw(O_CREAT O_EXCL O_WRONLY);

my $HOOK   = '/usr/share/zlh-hooks/hookscripts/zlh-vzdump-hook';
my $CONFIG = '/etc/vzdump.conf';
my $FORMER = "$CONFIG.zlh-former";    # the script's path, by which the hook calls it, and the whole line that named it
my $LINE   = qr/^[ \t]*script:[ \t]*(.*?)[ \t]*$/m;    # of several vzdump takes the last

my %BACKUP_VERBS = (install => \&install_backups, uninstall => \&uninstall_backups, status => \&tell_backups);

sub attend_backups { $BACKUP_VERBS{ $_[0] }->() }

sub install_backups {
    my $text = read_backups();
    my ($named, $line) = find_named($text);
    return report("$CONFIG names $HOOK already") if $named eq $HOOK;
    -x $HOOK or die "$HOOK is not there, or cannot be run\n";
    $named =~ m{\A(?:/.*)?\z} or die "$CONFIG names $named, which is no absolute path: set that right first\n";
    keep_former($named, $line);
    my $ours = $named eq '' ? append_line($text) : replace_line($text, $line, "script: $HOOK");
    act("$CONFIG names $HOOK", sub { write_beside($CONFIG, $ours) });
}

# Before ours is named: it is read by ours alone, and one that an earlier call left would be called first.
sub keep_former {
    my ($named, $line) = @_;
    return act("$named stays, is noted in $FORMER, and is called first", sub { write_beside($FORMER, "$named\n$line\n") })
        if $named ne '';
    act("$FORMER, which nothing needs, is removed", sub { remove_former() }) if -e $FORMER;
}

sub uninstall_backups {
    my $text = read_backups();
    my ($named, $line) = find_named($text);
    if ($named eq $HOOK) {
        my (undef, $former) = -e $FORMER ? split /\n/, read_file($FORMER) : ();
        my $theirs = defined $former ? replace_line($text, $line, $former) : remove_line($text);
        act("$CONFIG names " . (defined $former ? 'what it named before' : 'no script any more'),
            sub { write_beside($CONFIG, $theirs) });
    }
    else {
        report("$CONFIG names " . ($named || 'no script') . ', and is left alone');
    }
    act("$FORMER is removed", sub { remove_former() }) if -e $FORMER;
}

sub tell_backups {
    my ($named) = find_named(read_backups());
    return fall_short_of("$CONFIG names " . ($named || 'no script') . ", not $HOOK") if $named ne $HOOK;
    report("$CONFIG names $HOOK");
    fall_short_of("$HOOK is not there, or cannot be run: every backup fails") if !-x $HOOK;
    my ($former) = -e $FORMER ? split /\n/, read_file($FORMER) : return;
    -f $former && -x _ ? report("$former is called first") : fall_short_of("$former, called first, cannot be run");
}

sub read_backups {
    die "$CONFIG is a link; name $HOOK as script where it leads to\n" if -l $CONFIG;
    return -e $CONFIG ? read_file($CONFIG) : '';
}

# The script in force and its line; empty without one.
sub find_named {
    my ($text) = @_;
    my ($named, $line) = ('', '');
    ($named, $line) = (untaint($1), untaint($&)) while $text =~ /$LINE/g;
    return ($named, $line);
}

# The last of such lines by another.
sub replace_line {
    my ($text, $line, $new) = @_;
    $text =~ s/\A(.*)^\Q$line\E$/$1$new/ms or die "$CONFIG was changed meanwhile\n";
    return $text;
}

# A file that does not end with its line's end does not get one, so that it can be put back as it was.
sub append_line { return $_[0] =~ /[^\n]\z/ ? "$_[0]\nscript: $HOOK" : "$_[0]script: $HOOK\n" }

sub remove_line {
    my ($text) = @_;
    $text =~ s/\nscript: \Q$HOOK\E\z// or $text =~ s/\A(.*)^[ \t]*script:[ \t]*\Q$HOOK\E[ \t]*(?:\n|\z)/$1/ms;
    return $text;
}

# Whole and on the disk, or not at all, with the permissions that it had. Without a text there need be no file.
sub write_beside {
    my ($path, $text) = @_;
    my $draft = "$path.zlh-draft";
    unlink $draft;    # of one that was killed
    my $mode = -e $path ? (stat _)[2] & 0777 : 0644;
    sysopen my $file, $draft, O_WRONLY | O_CREAT | O_EXCL, 0600 or die "$draft: $!\n";
    eval {
        print({$file} untaint($text)) && $file->flush && chmod($mode, $file) && $file->sync && close $file or die "$draft: $!\n";
        rename $draft, $path or die "$path: $!\n";
        1;
    } or do { my $fault = $@; unlink $draft; die $fault };
    sync_folder('/etc');
}

sub remove_former {
    unlink $FORMER or die "$FORMER: $!\n";
    sync_folder('/etc');
}

1;
