"""How fast the whole method is: frames of video a second, one video at a time.

All that a test video takes is counted: it is decoded, the stream of every frame is extracted as the
stage does it, and each network scores its snippets. What modalities share is extracted once.
"""

import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tsn.modality import modality
from tsn.model.checkpoint import load_model
from tsn.scoring.score import ScoringProtocol, score_snippets
from tsn.scoring.settings import ScoringConfig
from tsn.snippets.dataset import Clip, ScoringSnippets
from tsn.streams.archives import OK, ManifestRow
from tsn.streams.extraction import ExtractionJob, fill_store
from tsn.streams.store import stored_archive_path


@dataclass(frozen=True, kw_only=True)
class MethodTimes:
    """What each of some videos took, in seconds, a value a video.

    videos, frames: their ids, and how many frames each has. stream_of: by modality, the one whose
    stream it reads. extraction: by such a modality. scoring: by modality.
    """

    videos: tuple[str, ...]
    frames: tuple[int, ...]
    stream_of: Mapping[str, str]
    extraction: Mapping[str, tuple[float, ...]]
    scoring: Mapping[str, tuple[float, ...]]

    def frames_per_second(self, modalities: Collection[str]) -> float:
        """Return the rate of modalities that are fused: the median over the videos."""
        streams = {self.stream_of[name] for name in modalities}
        parts = [
            *(self.extraction[name] for name in streams),
            *(self.scoring[name] for name in modalities),
        ]
        seconds = map(sum, zip(*parts, strict=True))
        return statistics.median(
            frames / took for frames, took in zip(self.frames, seconds, strict=True)
        )


def time_method(
    jobs: Mapping[str, ExtractionJob],
    models: Mapping[str, Path],
    testing: ScoringConfig,
    *,
    device: torch.device,
) -> MethodTimes:
    """Return what videos take of which each modality's job extracts the stream.

    jobs: of the same videos, each with one worker; their stores are not used. models: folders of
    the networks. The first video warms up and is not in the answer; nor are those that cannot be
    extracted. ValueError where no video is left.
    """
    stream_of = {
        name: next(
            other
            for other, row in jobs.items()
            if (row.stream.name, row.config) == (job.stream.name, job.config)
        )
        for name, job in jobs.items()
    }
    with TemporaryDirectory(prefix="tsn-") as folder:
        stores = {name: Path(folder) / name for name in dict.fromkeys(stream_of.values())}
        extracted = {
            name: _time_extraction(replace(jobs[name], store_dir=store))
            for name, store in stores.items()
        }
        videos = sorted(set.intersection(*(set(found) for found in extracted.values())))
        if len(videos) < 2:
            raise ValueError(
                f"{len(videos)} of {len(next(iter(jobs.values())).videos)} videos can be extracted;"
                " a speed takes two: one warms up"
            )
        scoring = {}
        for name, source in stream_of.items():
            rows = [extracted[source][video][0] for video in videos]
            clips = [_clip(row, stores[source]) for row in rows]
            scoring[name] = _time_scoring(models[name], name, clips, testing, device)[1:]
    first = next(iter(extracted))
    per_entry = jobs[first].stream.frames_per_entry
    return MethodTimes(
        videos=tuple(videos[1:]),
        frames=tuple(extracted[first][video][0].entries + per_entry - 1 for video in videos[1:]),
        stream_of=stream_of,
        extraction={
            name: tuple(found[video][1] for video in videos[1:])
            for name, found in extracted.items()
        },
        scoring=scoring,
    )


def _time_extraction(job: ExtractionJob) -> dict[str, tuple[ManifestRow, float]]:
    """Return by video what was extracted, and in how many seconds; each by itself."""
    found = {}
    began = time.perf_counter()
    for record in fill_store(job):
        seconds = time.perf_counter() - began
        if record.row.status == OK and not record.from_store:
            found[record.row.video] = record.row, seconds
        began = time.perf_counter()
    return found


def _clip(row: ManifestRow, store: Path) -> Clip:
    archive = stored_archive_path(store, row.key)
    return Clip(video=row.video, label=0, entries=row.entries, archive=archive, key=row.key)


def _time_scoring(
    model: Path, name: str, clips: Sequence[Clip], testing: ScoringConfig, device: torch.device
) -> tuple[float, ...]:
    """Return in how many seconds a network scores each clip, from its archive on."""
    network, card = load_model(model)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    row = modality(name)
    protocol = ScoringProtocol(config=testing, size=card.input_size)
    dataset = ScoringSnippets(clips, row, snippets=testing.snippets)
    seconds = []
    for index in range(len(clips)):
        began = time.perf_counter()
        score_snippets(network, dataset[index], row, protocol, device=device)
        seconds.append(time.perf_counter() - began)
    return tuple(seconds)
