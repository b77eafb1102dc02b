"""What is on a node when it arrives: its folders, ordinary tools, and a stand-in for apt-get."""

from __future__ import annotations

import shutil
from pathlib import Path

import imageio_ffmpeg

# What a task finds on its PATH besides its node's own programs: never the package tools of this
# machine.
ORDINARY_TOOLS = (
    '[ awk base64 basename bash bunzip2 bzip2 cat chmod chown cmp comm cp curl cut date dd df diff '
    'dirname du echo egrep env expr false fgrep file find flock fold free gawk getopt grep gunzip '
    'gzip head hostname id install join kill less ln ls mawk md5 md5sum mkdir mkfifo mktemp mv '
    'nice nl nohup nproc od paste perl pgrep pkill printenv printf ps pwd python3 readlink '
    'realpath rev rm rmdir sed seq setsid sh sha1sum sha256sum shasum sleep sort split stat stdbuf '
    'strings sync tac tail tar tee test time timeout top touch tr true truncate tty uname uniq '
    'unxz unzip uptime wait wc wget which whoami xargs xxd xz yes zcat zip'
)
APT_GET = Path(__file__).with_name('apt-get')

# Below a node's root directory. Recorded traffic: GET /pools/{id}/nodes/{id}/files.
FOLDERS = (
    'applications',
    'fsmounts',
    'shared',
    'startup/wd',
    'volatile/startup',
    'workitems',
)


class NodeImage:
    """The same for all nodes; the tools are links to those of this machine."""

    def __init__(self, folder: Path) -> None:
        self._tools = folder
        self._ffmpeg = str(imageio_ffmpeg.get_ffmpeg_exe())
        folder.mkdir()
        for name in ORDINARY_TOOLS.split():
            program = shutil.which(name)
            if program:
                (folder / name).symlink_to(program)

    def install(self, home: Path) -> Path:
        """Makes a node's folders; the result is the node's root directory."""
        for folder in ('bin', 'sbin'):
            (home / folder).mkdir(parents=True)
            apt_get = home / folder / 'apt-get'
            shutil.copyfile(APT_GET, apt_get)
            apt_get.chmod(0o755)

        packages = home / 'packages'
        packages.mkdir()
        (packages / 'ffmpeg').symlink_to(self._ffmpeg)

        root = home / 'tasks'
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True)
        return root

    def search_path(self, home: Path, is_elevated: bool) -> list[Path]:
        """Where its programs are; who is elevated finds the apt-get in sbin first, which works."""
        folders = [home / 'bin', self._tools]
        if is_elevated:
            folders.insert(0, home / 'sbin')
        return folders
