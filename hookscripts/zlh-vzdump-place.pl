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
my $LINE   = qr/^[ \t]*script:[ \t]*(.*?)[ \t\r]*$/m;    # of several vzdump takes the last
my $OURS   = qr/^[ \t]*script:[ \t]*\Q$HOOK\E[ \t\r]*$/m;

my %BACKUP_VERBS = (install => \&install_backups, uninstall => \&uninstall_backups, status => \&tell_backups);

sub attend_backups { $BACKUP_VERBS{ $_[0] }->() }

sub install_backups {
    my ($named, $line) = find_named(read_backups());
    return report("$CONFIG names $HOOK already") if $named eq $HOOK;
    -x $HOOK or die "$HOOK is not there, or cannot be run\n";
    refuse_unfit_script($named) if $named ne '';
    uninstall_backups() if read_backups() =~ $OURS;    # one above that line may have a former script of its own
    my $text = read_backups();
    keep_former($named, $line);
    my $ours = $named eq '' ? append_line($text) : replace_line($text, $line, "script: $HOOK");
    act("$CONFIG names $HOOK", sub { write_beside($CONFIG, $ours) });
}

sub refuse_unfit_script {
    my ($named) = @_;
    $named =~ m{\A/} or die "$CONFIG names $named, which is no absolute path: set that right first\n";
    -f $named && -x _ or die "$CONFIG names $named, which is no file that can be run: set that right first\n";
}

# Before ours is named: it is read by ours alone, and one that an earlier call left would be called first.
sub keep_former {
    my ($named, $line) = @_;
    return act("$named stays, is noted in $FORMER, and is called first", sub { write_beside($FORMER, "$named\n$line\n") })
        if $named ne '';
    act("$FORMER, which nothing needs, is removed", sub { remove_former() }) if -e $FORMER;
}

# Ours goes wherever it stands, and what is noted of the former one with it: nobody else reads that.
sub uninstall_backups {
    my $text = read_backups();
    my (undef, $former) = -e $FORMER ? split /\n/, read_file($FORMER) : ();
    my $theirs = remove_ours($text, $former);
    my ($named) = find_named($theirs);
    $named = $named eq '' ? 'no script' : $named;
    $theirs eq $text
        ? report("$CONFIG names $named, and is left alone")
        : act("$CONFIG names $named, and $HOOK no more", sub { write_beside($CONFIG, $theirs) });
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

# The last line with ours becomes the former one, if there was one.
sub remove_ours {
    my ($text, $former) = @_;
    $text =~ s/\A(.*)$OURS/$1$former/s if defined $former;
    $text =~ s/\nscript: \Q$HOOK\E\z//;
    $text =~ s/$OURS(?:\n|\z)//g;
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
