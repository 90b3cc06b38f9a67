"""Steps of a run in a layout among processes, by the trainer's own functions; the first one writes what came out."""

import contextlib
import dataclasses
import errno
import os
import signal
from datetime import timedelta

import numpy as np
import torch
from torch import distributed

from fakes.listener import Silent
from textmill.base.errors import StoppedError, StorageError
from textmill.checkpoint import parts
from textmill.checkpoint.store import latest_checkpoint, load_checkpoint, remove_checkpoint
from textmill.model.llama import Llama
from textmill.tokenizer.end_of_text import end_of_text
from textmill.train import loop
from textmill.train.layout import Layout
from textmill.train.overlapped import OverlappedLayout
from textmill.train.pipeline import run_recipe
from textmill.train.ranks import Ranks, joined_ranks
from textmill.train.recipe import load_recipe
from textmill.train.run import load_run
from textmill.train.saves import Saves
from textmill.train.step import accumulate
from textmill.train.trainer import assemble
from textmill.train.validation import bits_per_byte, sample_held_out


@contextlib.contextmanager
def joined(rank, size, meeting):
    """Be one of ``size`` processes that meet at a file."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=300)
    )
    yield Ranks(rank, size)
    distributed.destroy_process_group()


def opened(folder):
    """A run: of Muon with norms of heads and value embeddings, else with one table for input and head."""
    run = load_run(folder)
    is_fast = run.recipe.optimizer.kind == "muon"
    model = dataclasses.replace(
        run.plan.model,
        qk_norm=is_fast,
        value_embeddings=is_fast,
        tie_word_embeddings=not is_fast,
        model_type="textmill" if is_fast else "llama",
    )
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, model=model))


def laid_out(run, ranks, mesh, dtype=torch.float32):
    """A run's trainer, no weight of which is zero: at a run's own first step most gradients are."""
    torch.set_default_dtype(dtype)
    overlapped, mesh = mesh == "overlapped", "ddp" if mesh == "overlapped" else mesh
    trainer = assemble(opened(run), ranks, mesh)
    torch.set_default_dtype(torch.float32)
    if overlapped:
        trainer.layout = OverlappedLayout(trainer.model, ranks)
    trainer.load(None)
    first = Llama(trainer.run.plan.model).init_weights(1, residual="scaled")
    trainer.layout.fill(dict(first.named_parameters()))
    return trainer


def step(trainer, number, *, dtype, micro_rows=2, remat="none"):
    """The loss and norm of a step whose gradient is left where it is."""
    layout = trainer.layout
    batch = trainer.loader.batch(number, layout.readers.rank, layout.readers.size)
    z_loss = trainer.run.recipe.optimizer.z_loss
    loss = accumulate(
        layout.model, batch, micro_rows=micro_rows, dtype=dtype, remat=remat, z_loss=z_loss, layout=layout
    )
    return loss, layout.clip(0.05)


def whole(layout: Layout, tensors):
    """Arrays of whole tensors, by parameter."""
    return {name: layout.whole(name, tensor.detach()).numpy() for name, tensor in tensors}


def gradients(run, ranks, mesh, *, dtype=torch.float32, **options):
    """Loss, norm and clipped gradient of a run's first step."""
    trainer = laid_out(run, ranks, mesh)
    loss, norm = step(trainer, 0, dtype=dtype, **options)
    of_model = whole(trainer.layout, ((name, leaf.grad) for name, leaf in trainer.layout.named_parameters()))
    return {"loss": np.array(loss), "norm": np.array(norm), **of_model}


def weights(run, ranks, mesh, *, steps):
    """Losses and norms of so many steps in float64, and weights, their average and moments after them."""
    trainer = laid_out(run, ranks, mesh, torch.float64)
    told = []
    for number in range(steps):
        told.append(step(trainer, number, dtype=torch.float64))
        trainer.optimizers.step(1.0)
    return {"told": np.array(told), **state(trainer)}


def everything(runs, ranks, mesh, steps):
    """Gradients plainly, with each way to save memory and in bf16; and weights after steps, of every run."""
    found = {"one": gradients(runs["adamw"], ranks, mesh)}
    found["full"] = gradients(runs["adamw"], ranks, mesh, remat="full", micro_rows=1)
    found["llama"] = gradients(runs["adamw"], ranks, mesh, remat="llama", micro_rows=3)
    found["bf16"] = gradients(runs["adamw"], ranks, mesh, dtype=torch.bfloat16)
    return found | {kind: weights(run, ranks, mesh, steps=steps) for kind, run in runs.items()}


def among(rank, size, meeting, *, runs, mesh, steps, place):
    """Be one of the processes that do ``everything``."""
    with joined(rank, size, meeting) as ranks:
        found = everything(runs, ranks, mesh, steps)
        if ranks.is_first:
            np.savez(place, **{f"{kind}/{name}": array for kind, of in found.items() for name, array in of.items()})


def save_in_parts(rank, size, meeting, *, run, mesh):
    """Take two steps and save them as step 20 where nothing can be gathered; read that in other layouts."""
    with joined(rank, size, meeting) as ranks:
        trainer = laid_out(run, ranks, mesh)
        for number in range(2):
            step(trainer, number, dtype=torch.float32)
            trainer.optimizers.step(1.0)
        trainer.step = 20  # behind all that are there
        parts.gather_parts = _no_room
        with Saves(trainer, lambda *args, **fields: None) as saves:
            saves.save(wait=True)
        ranks.wait()
        checkpoint = load_checkpoint(latest_checkpoint(trainer.run.folder))
        assert checkpoint.is_in_parts
        expected = state(trainer)
        for other in ("tp=2", "fsdp", "ddp"):
            again = assemble(trainer.run, ranks, other)
            again.load(checkpoint)
            found = state(again)
            assert found.keys() == expected.keys()
            assert all(np.array_equal(found[name], expected[name]) for name in found), other
        if ranks.is_first:
            np.savez(run / "state.npz", **expected)


def look(rank, size, meeting, *, run, mesh, place):
    """Score the model between steps, gather it, copy and save it; the first process writes what came out.

    Steps come out as they do where nobody looks.
    """
    with joined(rank, size, meeting) as ranks:
        trainer = laid_out(run, ranks, mesh)
        trainer.layout.init_weights(7)
        first = whole(trainer.layout, trainer.layout.named_parameters())
        first = {name: array.copy() for name, array in first.items()}  # where nothing is parted it is the weights' own
        scores, gathered = [], None
        for number in range(4):
            step(trainer, number, dtype=torch.float32)
            trainer.optimizers.step(1.0)
            if number % 2:
                scores.append(scored(trainer))
                gathered = trainer.layout.gathered()
        unseen = laid_out(run, ranks, mesh)
        unseen.layout.init_weights(7)
        for number in range(4):
            step(unseen, number, dtype=torch.float32)
            unseen.optimizers.step(1.0)
        expected, found = state(unseen), state(trainer)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
        kept = bytes_kept(trainer)
        total = ranks.sum_count(kept)
        if ranks.is_first:
            assert all(np.array_equal(gathered[name].numpy(), found[name]) for name in gathered)
            weights = {f"weights/{name}": tensor.numpy() for name, tensor in gathered.items()}
            np.savez(place, scores=scores, bytes=total, **{f"first/{name}": a for name, a in first.items()}, **weights)
        else:
            assert gathered is None


def scored(trainer):
    """Bits per byte of what is held out, as the loop does it; NaN where the first rank does it alone."""
    samples = sample_held_out(trainer.held_out, trainer.tokenizer, 4096)
    with trainer.layout.read() as model:
        if model is None:
            return float("nan")
        found = bits_per_byte(
            model, samples, first_id=end_of_text(trainer.tokenizer), context=32, precision="f32", rows=4
        )
    return found.of["all"]


def bytes_kept(trainer):
    """Bytes that this process holds of a run's copies, once there are two to go back to and one is saved."""
    for number in (16, 32):
        trainer.snapshots.keep(number, trainer.layout.named_parameters(), trainer.optimizers, {})
    trainer.step = 40
    with Saves(trainer, lambda *args, **fields: None) as saves:
        saves.save(wait=True)
        to_save = len(saves._parts._memory) + len(saves._saver._snapshot._memory)
    remove_checkpoint_of_all(trainer)
    copies = [tensor for one in trainer.snapshots._kept for tensor in (*one.model.values(), *one.optimizer.values())]
    return to_save + sum(tensor.nbytes for tensor in copies)


def remove_checkpoint_of_all(trainer):
    """Take the checkpoint of step 40 away again."""
    trainer.layout.ranks.wait()
    if trainer.layout.ranks.is_first:
        remove_checkpoint(trainer.run.folder, 40)
    trainer.layout.ranks.wait()


def save_to_a_full_disk(rank, size, meeting, *, run, mesh):
    """The disk is full for the last process once; then there is room again, and the last save of a run succeeds."""
    write, told = parts.write_image, []

    def fail(path, image):
        raise OSError(errno.ENOSPC, "No space left on device")

    with joined(rank, size, meeting) as ranks:
        trainer = laid_out(run, ranks, mesh)
        trainer.step = 30
        with Saves(trainer, lambda kind, step, **fields: told.append((kind, step, fields))) as saves:
            if rank == size - 1:
                parts.write_image = fail
            saves.save()
            saves.tell()
            parts.write_image = write
            ranks.wait()
            if ranks.is_first:
                ((kind, number, fields),) = told
                assert (kind, number) == ("save_failed", 30)
                assert "no space left" in fields["error"]
                assert not [path for path in (run / "checkpoints").iterdir() if "00000030" in path.name]
            saves.save(wait=True)
            saves.tell()
        if ranks.is_first:
            assert [kind for kind, _, _ in told] == ["save_failed", "checkpoint"]


def state(trainer):
    """Whole tensors of model and optimizer."""
    layout, optimizers = trainer.layout, trainer.optimizers.state_tensors()
    of_optimizer = {
        name: (layout.whole(name.rpartition("/")[0], tensor) if tensor.ndim else tensor).numpy()
        for name, tensor in optimizers.items()
    }
    return whole(layout, layout.named_parameters()) | of_optimizer


def _no_room(folder):
    raise StorageError(f"no room for {folder}")


def end_by(rank, size, port, *, kind):
    """Join the others, and end by an error: groups are destroyed where it is a stop."""
    be_rank(rank, size, port)
    error = StoppedError("stopped", 143) if kind == "stop" else ValueError("a bug")
    with contextlib.suppress(StoppedError, ValueError), joined_ranks():
        raise error
    assert distributed.is_initialized() == (kind == "bug")


def be_rank(rank, size, port):
    """Take the environment of a process that torchrun started, for a minute."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in place.items()})
    signal.alarm(60)


def train(rank, size, port, *, path, settings, mesh, stop_at=None, jump_at=None, resume=False):
    """Be one of the processes that carry out a recipe; the first one is asked to stop, all see a loss jump once."""
    be_rank(rank, size, port)

    def stop(event):
        if event.kind == "step" and event.step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    if jump_at is not None:
        jump_once(jump_at)
    listener = Silent(stop)
    run_recipe(load_recipe(path, settings), listener, resume=resume, mesh=mesh)


def jump_once(at):
    """Let the loss of a step seem to jump, the first time that it is taken."""
    gradient, seen = loop._Loop._gradient, []

    def jumping(self, batch):
        loss, norm = gradient(self, batch)
        if self.trainer.step == at and not seen:
            seen.append(at)
            loss = 1e9
        return loss, norm

    loop._Loop._gradient = jumping
