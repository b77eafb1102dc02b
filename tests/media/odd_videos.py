"""Makes odd but sound videos and damaged ones: what the task command has to tell apart.

    python -m tests.media.odd_videos FOLDER

The sound ones take their codecs, layouts and containers from what cameras, phones, recorders and
shops produce. Every file is called .mp4, as a user's file may be, whatever it holds.

The ffmpeg of imageio-ffmpeg cannot encode these, so they are not here: HE-AAC and xHE-AAC, AC-4,
DTS-HD, Dolby Atmos, MPEG-H and Apple's spatial audio.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import imageio_ffmpeg


class Verdict(Enum):
    """What has to become of a video."""

    SOUND = 'exit code 0, and an MP3'
    DAMAGED = 'exit code 3, and an MP3 as far as it goes'
    UNNOTICED = 'exit code 0, and an MP3 that lacks a part: a limit of ffmpeg'
    FAILED = 'another exit code, and no MP3'


class MissingFeatureError(Exception):
    """This ffmpeg cannot make the video: it has no such encoder or option."""


Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class OddVideo:
    """One row of the table."""

    name: str
    arguments: str  # for ffmpeg, as one would type them; the name of the result is added
    verdict: Verdict = Verdict.SOUND
    change: Change | None = None  # made to the bytes of the file at the end
    seconds: float = 1  # of audio, before anything is taken away
    cover: bool = False  # whether the MP3 has to hold a picture


# What the arguments are put together from. A noise does not compress, so that the audio is
# spread over a whole file and a cut always meets it.
PICTURE = '-f lavfi -i testsrc=size=64x36:rate=10:duration=1,format=yuv420p'
SOUND = '-f lavfi -i sine=frequency=440:duration=1'
BOTH = f'{PICTURE} {SOUND}'
LONG = (
    '-f lavfi -i testsrc=size=64x36:rate=10:duration=4,format=yuv420p '
    '-f lavfi -i anoisesrc=duration=4:amplitude=0.1:seed=1'
)
LONG_NOISE = '-f lavfi -i anoisesrc=duration=4:amplitude=0.1:seed=1'
COVER = '-f lavfi -i testsrc=size=48x48:rate=1:duration=1'
AS_COVER = '-map 0 -map 1 -disposition:v:0 attached_pic'
CHAPTER_PICTURES = f'{BOTH} {PICTURE} -i chapters.txt -map 0 -map 1 -map 2 -map_metadata 3'
FRAGMENTED = '-g 5 -movflags +frag_keyframe+empty_moov+default_base_moof'
NO_SAMPLES = '-filter:a atrim=end=0'
# Four fragments, of a second each.
FOUR_FRAGMENTS = '-g 10 -movflags +frag_keyframe+empty_moov+default_base_moof'
# Sound that is silent for two seconds, as phones and meetings record it: nothing is written.
MUTED = r"-filter:a 'aselect=not(between(t\,1\,3))'"
# Pictures and sound both stop for two seconds: somebody has pressed the pause button.
PAUSED = (
    r"-filter_complex '[0:v]setpts=PTS+gte(T\,2)*2/TB[v];[1:a]asetpts=PTS+gte(T\,2)*2/TB[a]' "
    "-map '[v]' -map '[a]'"
)
MOV = '-f mov'
MKV = '-f matroska'

# Files that stand beside ffmpeg while it makes a video.
TEXTS = {
    'chapters.txt': """;FFMETADATA1
title=An evening talk
[CHAPTER]
TIMEBASE=1/1000
START=0
END=400
title=The beginning
[CHAPTER]
TIMEBASE=1/1000
START=400
END=1000
title=The end
""",
    'nothing.vtt': 'WEBVTT\n\n',
    'subtitles.srt': """1
00:00:00,000 --> 00:00:00,900
Somebody says something.
""",
}


def cut_in_half(content: bytes) -> bytes:
    """Return the first half: a download that stopped, or a camera that lost its power."""
    return content[: len(content) // 2]


def cut_after_the_index(content: bytes) -> bytes:
    """Return what comes before the pictures and the audio: the index alone."""
    return content[: content.index(b'mdat') + len(b'mdat')]


def zero_a_part(content: bytes) -> bytes:
    """Return the file with 30 % of its bytes zeroed: a disk with bad blocks."""
    start = len(content) // 2
    length = len(content) * 3 // 10
    return content[:start] + bytes(length) + content[start + length :]


def make_unknown(codec: bytes) -> Change:
    """Return a change after which no program knows the codec with this four-letter name."""

    def change(content: bytes) -> bytes:
        assert codec in content
        return content.replace(codec, b'zzzz')

    return change


def show_pictures_with_chapters(content: bytes) -> bytes:
    """Return the file with track 3 as the chapters' pictures: an enhanced podcast."""
    changed, count = re.subn(rb'(chap\0\0\0).', b'\\g<1>\x03', content, flags=re.DOTALL)
    assert count
    return changed


def cut_chapters_away(content: bytes) -> bytes:
    """Return the file with chapters in a track that it does not have: an editor has cut it away."""
    changed, count = re.subn(rb'(chap\0\0\0).', b'\\g<1>\x63', content, flags=re.DOTALL)
    assert count
    return changed


def cut_two_chapter_tracks_away(content: bytes) -> bytes:
    """Return the file with chapters and their pictures in tracks that it does not have.

    The second number takes the place of the edit list, so that nothing in the file moves.
    """
    edit_list_and_chapters = rb'\0\0\0\x24edts.{28}\0\0\0\x14tref\0\0\0\x0cchap.{4}'
    two_numbers = box(b'tref', box(b'chap', (98).to_bytes(4) + (99).to_bytes(4)))
    replacement = two_numbers + box(b'free', bytes(24))
    changed, count = re.subn(edit_list_and_chapters, replacement, content, flags=re.DOTALL)
    assert count
    return changed


def empty_the_last_track(content: bytes) -> bytes:
    """Return the file with a last track that has no table of times, so no samples."""
    start = content.rindex(b'stts')
    return content[:start] + b'free' + content[start + 4 :]


def box(name: bytes, content: bytes) -> bytes:
    """Return a box of an MP4 file."""
    return (8 + len(content)).to_bytes(4) + name + content


def fragments(content: bytes) -> list[bytes]:
    """Return what stands before the first fragment, and the fragments."""
    starts = [found.start() - 4 for found in re.finditer(b'moof', content)]
    end = content.rindex(b'mfra') - 4
    return [content[i:j] for i, j in zip([0, *starts], [*starts, end], strict=True)]


def lose_fragments(*lost: int) -> Change:
    """Return a change after which these fragments are missing: 1 is the first."""

    def change(content: bytes) -> bytes:
        parts = fragments(content)
        return b''.join(part for number, part in enumerate(parts) if number not in lost)

    return change


def append_junk(content: bytes) -> bytes:
    """Return the file with a box at its end that only its maker knows, as dashcams write them."""
    return content + (16).to_bytes(4) + b'gps0' + b'somewher'


def replace_by_text(_: bytes) -> bytes:
    """Return the page that a server sends in place of a video."""
    return b'<!DOCTYPE html><title>404 Not Found</title><h1>Not Found</h1>\n' * 20


def empty(_: bytes) -> bytes:
    """Return nothing."""
    return b''


SOUND_VIDEOS = [
    OddVideo('plain', BOTH),
    # Channels and sample rates.
    OddVideo('mono', f'{BOTH} -ac 1'),
    OddVideo('stereo', f'{BOTH} -ac 2'),
    OddVideo('quadraphonic', f'{BOTH} -ac 4'),
    OddVideo('surround-5.1', f'{BOTH} -ac 6'),
    OddVideo('surround-7.1', f'{BOTH} -ac 8'),
    OddVideo('8-khz', f'{BOTH} -ar 8000'),
    OddVideo('11-khz', f'{BOTH} -ar 11025'),
    OddVideo('16-khz', f'{BOTH} -ar 16000'),
    OddVideo('22-khz', f'{BOTH} -ar 22050'),
    OddVideo('32-khz', f'{BOTH} -ar 32000'),
    OddVideo('96-khz', f'{BOTH} -ar 96000'),
    OddVideo('192-khz', f'{BOTH} -ar 192000 -c:a alac'),
    # Codecs of the audio.
    OddVideo('ac3', f'{BOTH} -c:a ac3 -ac 6'),
    OddVideo('eac3', f'{BOTH} -c:a eac3 -ac 6'),
    OddVideo('dts', f'{BOTH} -c:a dca -strict -2 -ac 6 -ar 48000'),
    OddVideo('truehd', f'{BOTH} -c:a truehd -strict -2 -ac 6 -ar 48000'),
    OddVideo('opus', f'{BOTH} -c:a libopus'),
    OddVideo('flac', f'{BOTH} -c:a flac -strict -2'),
    OddVideo('alac', f'{BOTH} -c:a alac'),
    OddVideo('mp3', f'{BOTH} -c:a libmp3lame'),
    OddVideo('mp2', f'{BOTH} -c:a mp2'),
    OddVideo('vorbis', f'{BOTH} -c:a libvorbis'),
    OddVideo('amr', f'{BOTH} -f 3gp -c:v h263 -s 176x144 -c:a libopencore_amrnb -ar 8000 -ac 1'),
    OddVideo('pcm-16-bit', f'{BOTH} {MOV} -c:a pcm_s16le'),
    OddVideo('pcm-24-bit-big-endian', f'{BOTH} {MOV} -c:a pcm_s24be -ar 96000'),
    OddVideo('pcm-float', f'{BOTH} {MOV} -c:a pcm_f32le'),
    OddVideo('pcm-mu-law', f'{BOTH} {MOV} -c:a pcm_mulaw -ar 8000'),
    OddVideo('adpcm', f'{BOTH} {MOV} -c:a adpcm_ima_qt'),
    # Codecs, sizes and times of the pictures.
    OddVideo('hevc', f'{BOTH} -c:v libx265 -x265-params log-level=none'),
    OddVideo('vp9', f'{BOTH} -c:v libvpx-vp9 -deadline realtime'),
    OddVideo('av1', f'{BOTH} -c:v libaom-av1 -cpu-used 8 -usage realtime'),
    OddVideo('mpeg-4-part-2', f'{BOTH} -c:v mpeg4'),
    OddVideo('prores', f'{BOTH} {MOV} -c:v prores_ks -c:a pcm_s24le'),
    OddVideo('ordinary-mjpeg', f'{BOTH} {MOV} -c:v mjpeg'),
    OddVideo('ordinary-png', f'{BOTH} {MOV} -c:v png'),
    OddVideo('10-bit', f'{BOTH} -pix_fmt yuv420p10le'),
    OddVideo('odd-size', f'{BOTH} -vf scale=61:35 -pix_fmt yuv444p'),
    OddVideo('turned', f'-display_rotation 90 {BOTH}'),
    OddVideo('variable-frame-rate', f'{BOTH} -vf setpts=PTS*(1+N/20)'),
    OddVideo('audio-only', SOUND),
    OddVideo('very-short', f'{BOTH} -t 0.1', seconds=0.1),
    OddVideo('shorter-than-a-frame', f'{SOUND} -t 0.01', seconds=0.01),
    OddVideo('audio-longer-than-pictures', f'{BOTH} -filter:v trim=end=0.3'),
    OddVideo('audio-shorter-than-pictures', f'{BOTH} -filter:a atrim=end=0.3', seconds=0.3),
    OddVideo('audio-starts-late', f'{PICTURE} -itsoffset 0.4 {SOUND}'),
    OddVideo(
        'audio-starts-inside-its-edit-list', f'{PICTURE} -itsoffset -0.3 {SOUND}', seconds=0.7
    ),
    OddVideo('no-edit-list', f'{BOTH} -use_editlist 0'),
    # Containers.
    OddVideo('faststart', f'{BOTH} -movflags +faststart'),
    OddVideo('fragmented', f'{BOTH} {FRAGMENTED}'),
    OddVideo('cmaf', f'{BOTH} -g 5 -movflags +cmaf'),
    OddVideo('dash-index', f'{BOTH} {FRAGMENTED}+dash+global_sidx'),
    OddVideo('mov', f'{BOTH} {MOV}'),
    OddVideo('mkv', f'{BOTH} {MKV}'),
    OddVideo('webm', f'{BOTH} -f webm -c:v libvpx -deadline realtime -c:a libopus'),
    OddVideo('mpeg-ts', f'{BOTH} -f mpegts'),
    OddVideo('mpeg-ps', f'{BOTH} -f vob -c:v mpeg2video -r 25 -c:a mp2'),
    OddVideo('avi', f'{BOTH} -f avi -c:v mpeg4 -c:a libmp3lame'),
    OddVideo('flv', f'{BOTH} -f flv -c:v flv -c:a libmp3lame'),
    OddVideo('asf', f'{BOTH} -f asf -c:v wmv2 -c:a wmav2'),
    OddVideo('ogg', f'{BOTH} -f ogg -c:v libtheora -c:a libvorbis'),
    OddVideo('unknown-box-at-the-end', BOTH, change=append_junk),
    # What stands beside pictures and sound.
    OddVideo('timecode', f'{BOTH} -timecode 01:00:00:00'),
    OddVideo('timecode-mov', f'{BOTH} {MOV} -timecode 01:00:00:00'),
    OddVideo('tags', f'{BOTH} -metadata title=Prélude -metadata artist=Ångström'),
    OddVideo('chapters', f'{BOTH} -i chapters.txt -map 0 -map 1 -map_metadata 2'),
    OddVideo('subtitles', f'{BOTH} -i subtitles.srt -map 0 -map 1 -map 2 -c:s mov_text'),
    OddVideo('two-languages', f'{BOTH} {SOUND} -map 0 -map 1 -map 2 -metadata:s:a:1 language=fra'),
    OddVideo('cover-jpeg', f'{COVER} {SOUND} {AS_COVER} -c:v mjpeg', cover=True),
    OddVideo('cover-png', f'{COVER} {SOUND} {AS_COVER} -c:v png', cover=True),
    OddVideo(
        'cover-beside-pictures',
        f'{BOTH} {COVER} -map 0 -map 1 -map 2 -c:v:1 mjpeg -disposition:v:1 attached_pic',
        cover=True,
    ),
    OddVideo(
        'pictures-of-chapters',
        f'{CHAPTER_PICTURES} -c:v:1 mjpeg',
        change=show_pictures_with_chapters,
        cover=True,
    ),
    OddVideo(
        'film-with-chapters',
        f'{CHAPTER_PICTURES} -c:v:1 libx264',
        change=show_pictures_with_chapters,
        cover=True,
    ),
    OddVideo(
        'unknown-second-audio',
        f'{BOTH} {SOUND} -map 0 -map 1 -map 2 -c:a:1 alac',
        change=make_unknown(b'alac'),
    ),
    OddVideo('unknown-pictures', f'{BOTH} -c:v mpeg4', change=make_unknown(b'mp4v')),
    # What ffmpeg calls an error, and does not concern the audio.
    OddVideo(
        'chapters-cut-away',
        f'{BOTH} -i chapters.txt -map 0 -map 1 -map_metadata 2',
        change=cut_chapters_away,
    ),
    OddVideo(
        'chapters-and-their-pictures-cut-away',
        f'{BOTH} -i chapters.txt -map 0 -map 1 -map_metadata 2',
        change=cut_two_chapter_tracks_away,
    ),
    OddVideo('no-subtitles', f'{BOTH} -i nothing.vtt -map 0 -map 1 -map 2 -c:s mov_text'),
    OddVideo(
        'empty-subtitle-track',
        f'{BOTH} -i subtitles.srt -map 0 -map 1 -map 2 -c:s mov_text',
        change=empty_the_last_track,
    ),
    # Gaps in the times of the audio, or audio shorter than the file says. Nothing is lost, but the
    # times look as they do where fragments are missing (see UNNOTICED_VIDEOS).
    OddVideo('muted', f'{LONG} {MUTED}', seconds=2),
    OddVideo('muted-fragmented', f'{LONG} {FOUR_FRAGMENTS} {MUTED}', seconds=2),
    OddVideo('muted-opus', f'{LONG} {MUTED} -c:a libopus', seconds=2),
    OddVideo('muted-mkv', f'{LONG} {MKV} {MUTED}', seconds=2),
    OddVideo('paused', f'{LONG} {PAUSED}', seconds=4),
    OddVideo('paused-fragmented', f'{LONG} {PAUSED} {FOUR_FRAGMENTS}', seconds=4),
    OddVideo(
        'fragmented-audio-shorter', f'{LONG} {FOUR_FRAGMENTS} -filter:a atrim=end=1.5', seconds=1.5
    ),
    OddVideo('fragmented-audio-starts-late', f'{PICTURE} -itsoffset 0.5 {SOUND} {FRAGMENTED}'),
    OddVideo('dash-index-for-each-fragment', f'{LONG} {FOUR_FRAGMENTS}+dash', seconds=4),
]

DAMAGED_VIDEOS = [
    OddVideo(
        'cut-faststart', f'{LONG} -movflags +faststart', Verdict.DAMAGED, cut_in_half, seconds=4
    ),
    OddVideo('cut-fragmented', f'{LONG} {FRAGMENTED}', Verdict.DAMAGED, cut_in_half, seconds=4),
    OddVideo(
        'cut-audio', f'{LONG_NOISE} -movflags +faststart', Verdict.DAMAGED, cut_in_half, seconds=4
    ),
    OddVideo('cut-mkv', f'{LONG} {MKV}', Verdict.DAMAGED, cut_in_half, seconds=4),
    OddVideo('zeroed', f'{LONG} -movflags +faststart', Verdict.DAMAGED, zero_a_part, seconds=4),
    OddVideo('zeroed-fragmented', f'{LONG} {FRAGMENTED}', Verdict.DAMAGED, zero_a_part, seconds=4),
    # Nothing can be had of these.
    OddVideo('no-index', LONG, Verdict.FAILED, cut_in_half),
    OddVideo('only-index', f'{BOTH} -movflags +faststart', Verdict.FAILED, cut_after_the_index),
    OddVideo('no-audio', PICTURE, Verdict.FAILED),
    OddVideo(
        'only-index-and-cover',
        f'{COVER} {SOUND} {AS_COVER} -c:v mjpeg -movflags +faststart',
        Verdict.FAILED,
        cut_after_the_index,
    ),
    OddVideo('empty-audio-track', f'{BOTH} {FRAGMENTED} {NO_SAMPLES}', Verdict.FAILED),
    OddVideo('unknown-audio', f'{BOTH} -c:a alac', Verdict.FAILED, make_unknown(b'alac')),
    OddVideo('not-a-video', SOUND, Verdict.FAILED, replace_by_text),
    OddVideo('empty', SOUND, Verdict.FAILED, empty),
]

# Whole fragments are missing, and ffmpeg prints nothing: a download that went on without them, as
# yt-dlp does by default (yt-dlp/yt-dlp#11540), or a live stream that was joined late.
#
# These measures were tried. Each also calls sound videos damaged:
#
# - the MP3 is shorter than the time of its last sample, there are gaps between the packets, or
#   aresample=async=1 inserts silence: muted, paused, live streams with advertisements between;
# - the MP3 is shorter than the audio track by ffprobe: those, and shorter audio beside an index
#   that is of the pictures only;
# - the MP3 is shorter than ffmpeg's "Duration": those, and all audio shorter than the pictures;
# - the numbers of the fragments have gaps: they have to rise, but not by one
#   (Dash-Industry-Forum/dash-live-source-simulator#68).
#
# A missing end shows only where an index declares the length. Real recordings have such gaps:
# livekit/egress#1368, SYSTRAN/faster-whisper#128.
UNNOTICED_VIDEOS = [
    OddVideo(
        'fragments-lost-in-the-middle',
        f'{LONG} {FOUR_FRAGMENTS}',
        Verdict.UNNOTICED,
        lose_fragments(2, 3),
        seconds=4,
    ),
    OddVideo(
        'fragments-lost-at-the-start',
        f'{LONG} {FOUR_FRAGMENTS}',
        Verdict.UNNOTICED,
        lose_fragments(1, 2),
        seconds=4,
    ),
    OddVideo(
        'fragments-lost-at-the-end',
        f'{LONG} {FOUR_FRAGMENTS}',
        Verdict.UNNOTICED,
        lose_fragments(3, 4),
        seconds=4,
    ),
    OddVideo(
        'fragments-lost-beside-a-dash-index',
        f'{LONG} {FOUR_FRAGMENTS}+dash+global_sidx',
        Verdict.UNNOTICED,
        lose_fragments(2, 3),
        seconds=4,
    ),
    OddVideo(
        'fragments-lost-after-a-dash-index',
        f'{LONG} {FOUR_FRAGMENTS}+dash+global_sidx',
        Verdict.UNNOTICED,
        lose_fragments(3, 4),
        seconds=4,
    ),
]

ODD_VIDEOS = SOUND_VIDEOS + DAMAGED_VIDEOS + UNNOTICED_VIDEOS


def make(video: OddVideo, folder: Path) -> Path:
    """Make one video, and return its path, which is the row's name with .mp4.

    Raise MissingFeatureError if this ffmpeg has no such encoder or option.
    """
    target = folder.resolve() / f'{video.name}.mp4'
    options = shlex.split(video.arguments)

    with tempfile.TemporaryDirectory() as beside:
        for name, text in TEXTS.items():
            (Path(beside) / name).write_text(text)
        ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), '-nostdin', '-loglevel', 'error', '-y']
        made = subprocess.run(
            [*ffmpeg, *options, target], cwd=beside, check=False, capture_output=True, text=True
        )

    if re.search('Unknown encoder|Unrecognized option', made.stderr):
        raise MissingFeatureError(f'{video.name}: {made.stderr.strip()}')
    if made.returncode:
        raise RuntimeError(f'{video.name}: {made.stderr}')
    if video.change:
        target.write_bytes(video.change(target.read_bytes()))
    return target


def make_all(folder: Path) -> tuple[list[OddVideo], list[str]]:
    """Make every video that this ffmpeg can make: return those, and why the others are missing."""
    made = []
    missing = []
    with ThreadPoolExecutor() as workers:
        for video, making in [(video, workers.submit(make, video, folder)) for video in ODD_VIDEOS]:
            try:
                making.result()
            except MissingFeatureError as error:
                missing.append(str(error))
            else:
                made.append(video)
    return made, missing


def main() -> None:
    """Make the videos in the folder that the command line names, and list them."""
    parser = argparse.ArgumentParser(prog='python -m tests.media.odd_videos')
    parser.add_argument('folder', type=Path, metavar='FOLDER')
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)

    made, missing = make_all(folder)

    for video in made:
        print(f'{video.name}.mp4: {video.verdict.value}')
    for reason in missing:
        print(f'Left out: {reason}')


if __name__ == '__main__':
    main()
