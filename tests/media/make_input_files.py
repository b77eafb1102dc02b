"""Makes the sample videos InputFiles/LowPriVMs-1.mp4 to LowPriVMs-5.mp4.

    python -m tests.media.make_input_files

They are narrated title cards on Spot VMs in Batch. The clips are part of the repository, so neither
the sample nor its tests need this script or what it uses. To make the clips again, install the
speech synthesizer, fontconfig and the typeface beside tests/requirements.txt, on Debian or Ubuntu:
apt-get install flite fontconfig fonts-lato. With the same versions of these tools the clips come
out the same, byte for byte. The licences of flite, its voice slt and Lato allow free use of what is
made with them.
"""

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

OUTPUT = Path(__file__).resolve().parents[2] / 'InputFiles'
WIDTH, HEIGHT, FPS = 640, 360, 25
VOICE = ('-voice', 'slt', '--setf', 'duration_stretch=1.08')  # a little slower than normal
LEAD_IN, PAUSE, LEAD_OUT, FADE = 0.8, 0.4, 1.2, 0.5  # seconds
FONTS = {'bold.ttf': 'Lato:bold', 'regular.ttf': 'Lato:regular'}  # what fc-match finds them by
BACKGROUND, WHITE, GREY = '0x101828', '0xF9FAFB', '0x98A2B3'
HEADER = 'Spot nodes in Azure Batch'
NEEDED = 'The clips need: apt-get install flite fontconfig fonts-lato'

# What is shown and said, a block for each clip. Its lines: title | subtitle | accent colour; the
# spoken introduction; then each point, as shown and as said. What is said is written for the ear:
# 'A P I' is spelled out, 'VMs' avoided. A backslash joins two lines.
SCRIPT = """
What are Spot VMs? | Low-priority nodes under their present name | 0x36BFFA
A Batch pool can run on capacity that Azure has to spare.
Spare capacity at a reduced price
Such nodes cost less, but Azure may take them back.
Since March 2026: low-priority means Spot
Batch used to call them low-priority nodes. Since March 2026, they are Spot virtual machines.
The API keeps the low-priority names
The names in the A P I remain. You still set the target number of low-priority nodes.

What do they cost, and why? | A lower price for fewer promises | 0x32D583
Spot nodes cost less because Azure promises less.
No SLA, no guaranteed capacity
There is no service level agreement, and capacity is not guaranteed.
The price varies
The price differs between regions and between sizes of machine, and it changes over time.
Repeated work is paid for, too
The price can come close to the normal one, and work repeated after an eviction is paid for \
again. So check first.

When a node is preempted | What Batch does, and what it cannot do | 0xFDB022
Azure can take a Spot node back at any time.
Evicted for capacity, never for price
In Batch this happens only when Azure needs the capacity.
The task is requeued automatically
Batch puts the interrupted task back in the queue by itself. It starts again when a node is free.
Local data on the VM is lost
Data on the lost machine is gone. So keep results in storage, and write tasks that can \
safely run twice.

Which workloads fit? | Work that can stop and start again | 0xA48AFB
Spot nodes suit work that can be interrupted.
Many short, independent tasks
Best are many short, independent tasks. When one is interrupted, little time is lost.
Media conversion, rendering, tests
Rendering, software tests and media conversion are good examples. Turning this video into \
sound is another.
Flexible deadlines, saved progress
The deadline should be flexible. A long task should save its progress, and continue from there.

Mix dedicated and Spot nodes | And when not to use Spot at all | 0xFD6F8E
One pool can hold both kinds of node.
Dedicated nodes: a dependable base
Dedicated nodes are not preempted, and form a dependable base. Spot nodes add power \
when there is some to spare.
One target and one quota for each kind
Each kind has its own target, and its own quota.
Not for urgent or unbroken work
Do not rely on Spot nodes for urgent jobs, or for long tasks that must not be interrupted.
"""


class Clip(NamedTuple):
    """One block of the script."""

    title: str
    subtitle: str
    accent: str
    said: list[str]  # the introduction, and a text for each point
    shown: list[str]  # the points


def read(block: str) -> Clip:
    """Returns the clip that a block describes."""
    head, *lines = block.split('\n')
    title, subtitle, accent = head.split(' | ')
    return Clip(title, subtitle, accent, lines[::2], lines[1::2])


def tool(name: str) -> str:
    """Returns the path of an installed program."""
    path = shutil.which(name)
    if not path:
        raise SystemExit(f'{name} is missing. {NEEDED}')
    return path


def speak(texts: list[str], speech: Path) -> tuple[list[float], float]:
    """Writes the narration to `speech`.

    Returns the second at which each text begins, and the length of the clip in seconds.
    """
    starts, parts, rate = [], b'', 0
    for text in texts:
        command = [tool('flite'), *VOICE, '-t', text, '-o', str(speech)]
        subprocess.run(command, check=True)
        with wave.open(str(speech)) as part:  # 16-bit mono
            rate = part.getframerate()
            parts += bytes(2 * int(rate * (PAUSE if parts else LEAD_IN)))
            starts.append(len(parts) / 2 / rate)
            parts += part.readframes(part.getnframes())
    with wave.open(str(speech), 'wb') as whole:
        whole.setparams((1, 2, rate, 0, 'NONE', ''))
        whole.writeframes(parts)
    return starts, round((len(parts) / 2 / rate + LEAD_OUT) * FPS) / FPS


def draw(folder: Path, clip: Clip, heading: str, starts: list[float], length: float) -> str:
    """Returns the filters that draw the card.

    Each text stands in a file of its own, so none needs escaping.
    """
    filters = [f'drawbox=x=40:y=84:w=5:h=74:color={clip.accent}:t=fill']

    def write(
        text: str, font: str, size: int, color: str, x: str, baseline: int, start: float = 0
    ) -> None:
        file = f'text-{len(filters)}.txt'
        (folder / file).write_text(text, encoding='utf-8')
        style = f'fontfile={font}:fontsize={size}:fontcolor={color}'
        alpha = f"'clip((t-{start:.3f})/{FADE},0,1)'" if start else '1'
        place = f'x={x}:y={baseline}:y_align=baseline:alpha={alpha}'
        filters.append(f'drawtext=textfile={file}:expansion=none:{style}:{place}')

    write(HEADER, 'regular.ttf', 15, GREY, '40', 48)
    write(heading, 'regular.ttf', 15, GREY, 'w-40-text_w', 48)
    write(clip.title, 'bold.ttf', 36, WHITE, '60', 116)
    write(clip.subtitle, 'regular.ttf', 20, clip.accent, '60', 152)
    for row, (shown, start) in enumerate(zip(clip.shown, starts[1:], strict=True)):
        write(str(row + 1), 'bold.ttf', 22, clip.accent, '60', 212 + 42 * row, start)
        write(shown, 'regular.ttf', 22, WHITE, '88', 212 + 42 * row, start)
    card = f'color={BACKGROUND}:s={WIDTH}x{HEIGHT}:r={FPS},{",".join(filters)}[card]'
    line = (
        f'color={clip.accent}:s={WIDTH}x5:r={FPS}[line];[card][line]overlay=x=-w+w*t/{length}:y=H-h'
    )
    fades = f'fade=d={FADE},fade=out:st={length - FADE:.2f}:d={FADE}'
    return f'{card};{line},{fades},format=yuv420p[video]'


def make(clip: Clip, heading: str, target: Path) -> None:
    """Writes the video of one clip."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)  # ffmpeg runs in it: plain relative names need no escaping in filters
        for file, pattern in FONTS.items():
            found = Path(
                subprocess.check_output([tool('fc-match'), '-f', '%{file}', pattern], text=True)
            )
            if not found.name.startswith(
                'Lato'
            ):  # fc-match never comes back empty-handed; wider type would not fit
                raise SystemExit(f'The typeface Lato is missing. {NEEDED}')
            shutil.copy(found, folder / file)
        starts, length = speak(clip.said, folder / 'speech.wav')
        fades = f'afade=d={FADE},afade=out:st={length - FADE:.2f}:d={FADE}'
        sound = f'[0:a]highpass=f=70,loudnorm=I=-16:TP=-2,aresample=44100,apad,{fades}[audio]'
        command = [imageio_ffmpeg.get_ffmpeg_exe(), '-y', '-v', 'error', '-i', 'speech.wav']
        command += ['-filter_complex', f'{draw(folder, clip, heading, starts, length)};{sound}']
        command += ['-map', '[video]', '-map', '[audio]', '-t', f'{length}', '-map_metadata', '-1']
        command += [
            '-c:v',
            'libx264',
            '-preset',
            'slow',
            '-crf',
            '20',
            '-threads',
            '1',
            '-flags:v',
            '+bitexact',
        ]
        command += ['-c:a', 'aac', '-b:a', '80k', '-ac', '1', '-flags:a', '+bitexact']
        command += ['-fflags', '+bitexact', '-movflags', '+faststart', str(target)]
        subprocess.run(command, check=True, cwd=folder)


def main() -> None:
    """Makes all clips and prints their sizes."""
    OUTPUT.mkdir(exist_ok=True)
    blocks = SCRIPT.strip().split('\n\n')
    for number, block in enumerate(blocks, start=1):
        target = OUTPUT / f'LowPriVMs-{number}.mp4'
        make(read(block), f'{number} / {len(blocks)}', target)
        print(f'{target.name}: {target.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
