"""`derain video`: clips, and folders of clips."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from derain_cli.cli.clip_flags import ClipFlags
from derain_cli.cli.clip_jobs import ClipJobs
from derain_cli.cli.clips import ClipTally
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.items import LoadedModels, refuse_output_as_input
from derain_cli.cli.pipes import PIPE, copied, is_piped, through_pipes
from derain_cli.cli.reporter import Reporter
from derain_cli.errors import UsageError

__all__ = ["restore_clip_files", "video"]


@command_from_flags(ClipFlags)
def video(flags: ClipFlags) -> int:
    """Remove rain from clips.

    Without -o, clip.mp4 becomes clip_derained.mp4 next to it. Frame times, sound, subtitles, chapters, rotation and
    colours are kept. Run the same command again to resume an interrupted job. -o - writes to standard output, as mkv
    unless --format is ts, y4m or another one.
    """
    if not is_piped(flags.paths, flags.output):
        return restore_clip_files(flags, flags.messages.reporter())
    from derain_cli.media.clip.streams import STREAMS, send

    stream, sender = STREAMS.get((flags.format or "").lower().lstrip(".")), copied
    if stream is not None and flags.output == PIPE:
        codec = stream.codec if flags.codec == "auto" else flags.codec
        flags, sender = replace(flags, format=stream.format, codec=codec), partial(send, stream=stream)
    return through_pipes(
        flags,
        restore_clip_files,
        suffix_of=lambda path: ".mkv",
        needing_files=("keep_partial", "join"),
        send=sender,
    )


def restore_clip_files(flags: ClipFlags, reporter: Reporter, models: LoadedModels | None = None) -> int:
    """What `derain video` does with files; standard input and output have been replaced by some.

    Args:
        flags: of the command.
        reporter: for messages.
        models: loaded by earlier jobs.
    """
    from derain_cli.media.clip.encoding import WRITABLE_CLIPS
    from derain_cli.media.clip.libraries import require_clip_libraries

    require_clip_libraries()
    restore, wanted = flags.computing.restore_options(), flags.video_options()
    refuse_output_as_input(flags.paths, flags.output, WRITABLE_CLIPS)
    if flags.join is not None and (wanted.start or wanted.end is not None):
        raise UsageError("--join takes whole clips: omit --start and --end")
    tally = ClipTally(reporter, flags.dry_run, models=models or LoadedModels())
    with tally.summary_on_exit():
        ClipJobs(flags, restore, tally).run()
    return tally.exit_code
