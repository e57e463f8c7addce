#!/usr/bin/env python3
"""Makes a container image of an installed W&B SDK: for tests with a real launch agent in a real pod, where no registry is in reach.

    VENV/bin/python scripts/launch-agent-image.py IMAGE

VENV has the package wandb[launch]. The image has what that python has: interpreter, standard library, packages, and the shared
libraries of this machine that they name. Nothing is fetched. It is used as W&B's own is: user 1000 with its home in
/home/launch_agent, entry point `wandb launch-agent`. The container engine is docker, or what KIND_EXPERIMENTAL_PROVIDER names.
"""

import io
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import time

USER = 1000
HOME = "home/launch_agent"
# In the standard library and never needed by a program.
LEFT_OUT = {"test", "tests", "idlelib", "ensurepip", "site-packages", "dist-packages", "turtledemo"}


def libraries(files):
    """The shared libraries that the loader finds for these files."""
    found = set()
    files = [str(file) for file in files]
    for start in range(0, len(files), 50):
        # Some are no dynamic executables: ldd says so and goes on.
        said = subprocess.run(["ldd", *files[start:start + 50]], capture_output=True, text=True).stdout
        found.update(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", said, re.MULTILINE))
    return found


class Image:
    def __init__(self, out):
        self.tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT)
        self.folders = set()

    def folder(self, path, mode=0o755, owner=0):
        parts = pathlib.PurePosixPath(path)
        for part in [*reversed(parts.parents), parts]:
            if str(part) in {".", "/"} or str(part) in self.folders:
                continue
            self.folders.add(str(part))
            entry = tarfile.TarInfo(str(part))
            entry.type, entry.mtime = tarfile.DIRTYPE, int(time.time())
            entry.mode, entry.uid, entry.gid = (mode, owner, owner) if part == parts else (0o755, 0, 0)
            self.tar.addfile(entry)

    def text(self, path, text, mode=0o644):
        self.folder(os.path.dirname(path))
        entry = tarfile.TarInfo(path)
        data = text.encode()
        entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
        self.tar.addfile(entry, io.BytesIO(data))

    def file(self, source, path):
        """A file, and not the link that it may be; readable by everybody."""
        self.folder(os.path.dirname(path))
        entry = tarfile.TarInfo(path)
        found = os.stat(source)
        entry.size, entry.mtime = found.st_size, int(found.st_mtime)
        entry.mode = 0o755 if found.st_mode & 0o100 else 0o644
        with open(source, "rb") as file:
            self.tar.addfile(entry, file)


def below(root, left_out=frozenset()):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in left_out and not name.startswith("config-"))
        for name in sorted(files):
            path = pathlib.Path(folder, name)
            if path.is_file():
                yield path


def main():
    if len(sys.argv) != 2 or sys.prefix == sys.base_prefix:
        sys.exit(__doc__)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = f"usr/local/lib/{version}"
    trees = [(sysconfig.get_path(name), library, LEFT_OUT) for name in ("stdlib", "platstdlib")]
    # In a virtual environment the second is of the environment, which has packages alone.
    trees.append((sysconfig.get_path("platstdlib", vars={"platbase": sys.base_prefix}), library, LEFT_OUT))
    trees += [(sysconfig.get_path(name), f"{library}/site-packages", {"pip"}) for name in ("purelib", "platlib")]
    taken = {}
    for root, place, left_out in trees:
        for path in below(root, left_out):
            taken.setdefault(f"{place}/{path.relative_to(root)}", path)
    taken["usr/local/bin/python3"] = pathlib.Path(os.path.realpath(sys.executable))
    programs = [path for path in taken.values() if ".so" in path.name or os.access(path, os.X_OK)]
    inside = tuple(os.path.join(os.path.realpath(root), "") for root, _, _ in trees)
    for found in libraries(programs):
        if not os.path.realpath(found).startswith(inside):
            taken.setdefault(found.lstrip("/"), pathlib.Path(found))

    engine = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")
    settings = [
        'ENTRYPOINT ["wandb","launch-agent"]',
        f"USER {USER}",
        f"WORKDIR /{HOME}",
        f"ENV HOME=/{HOME}",
        "ENV PATH=/usr/local/bin:/usr/bin:/bin",
        "ENV PYTHONUNBUFFERED=1",
    ]
    changes = [word for setting in settings for word in ("--change", setting)]
    importing = subprocess.Popen([engine, "import", *changes, "-", sys.argv[1]], stdin=subprocess.PIPE)
    image = Image(importing.stdin)
    for path, source in sorted(taken.items()):
        image.file(source, path)
    image.text("usr/local/bin/wandb", "#!/usr/local/bin/python3\nfrom wandb.cli.cli import cli\ncli(prog_name='wandb')\n", 0o755)
    image.text("etc/passwd", f"root:x:0:0::/root:/sbin/nologin\nlaunch_agent:x:{USER}:{USER}::/{HOME}:/sbin/nologin\n")
    image.text("etc/group", f"root:x:0:\nlaunch_agent:x:{USER}:\n")
    image.text("etc/nsswitch.conf", "hosts: files dns\n")
    image.folder("tmp", 0o1777)
    image.folder(HOME, 0o755, USER)
    image.tar.close()
    importing.stdin.close()
    sys.exit(importing.wait())


main()
