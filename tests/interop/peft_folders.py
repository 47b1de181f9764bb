#!/usr/bin/env python3
"""Adapter folders against PEFT itself, in both directions: what `lathe adapt` writes is loaded by PeftModel and gives the
outputs that our merged checkpoint gives, and what PEFT writes is merged, converted and combined here as it is there.

    peft_folders.py              LATHE_PROGRAM names the program lathe

Runs in an environment with PEFT and torch: that of LATHE_PEFT_PYTHON, or build/peft, which is made on the first run: with
the torch of the system's Python where it has one (Debian's python3-torch), else with the one from PyPI, which is several
GB. Exits 0 if all agrees, 1 if something does not, 77 (skipped) only where there is no such environment."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
requirements = root / "tests/support/peft_requirements.txt"


def skip(why):
    print(f"SKIPPED: nothing was compared with PEFT: {why}", file=sys.stderr)
    sys.exit(77)


def quiet(*command, **more):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1:]


def environment():
    """A Python with torch and PEFT."""
    if given := os.environ.get("LATHE_PEFT_PYTHON"):
        return given
    folder = root / "build/peft"
    python, mark = folder / "bin/python", folder / "requirements.txt"
    wanted = requirements.read_text()
    if mark.exists() and mark.read_text() == wanted and quiet(python, "-c", "import peft, torch") is None:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    systems = "/usr/bin/python3"
    if os.path.exists(systems) and quiet(systems, "-c", "import torch") is None:
        problem = (quiet(systems, "-m", "venv", "--system-site-packages", folder)
                   or quiet(python, *pip, "--no-deps", "-r", requirements, timeout=900))
    else:
        if shutil.disk_usage(root).free < 16e9:
            skip("no torch in the system's Python, and less than 16 GB free for the one from PyPI")
        problem = (quiet(sys.executable, "-m", "venv", folder)
                   or quiet(python, *pip, "torch", "peft", "safetensors", "numpy", timeout=1500))
    if problem:
        skip(f"no environment with torch and PEFT could be made: {problem}")
    mark.write_text(wanted)
    return python


if os.environ.get("LATHE_PEFT_INSIDE") != "1":
    if "LATHE_PROGRAM" not in os.environ:
        skip("LATHE_PROGRAM does not name the program")
    try:
        python = environment()
    except (subprocess.TimeoutExpired, OSError) as error:
        skip(f"no environment with torch and PEFT could be made: {error}")
    os.execve(str(python), [str(python), *sys.argv],
              dict(os.environ, LATHE_PEFT_INSIDE="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false"))

import warnings  # noqa: E402

warnings.filterwarnings("ignore")
import peft  # noqa: E402
import safetensors.torch as st  # noqa: E402
import torch  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

program = os.environ["LATHE_PROGRAM"]
torch.manual_seed(0)
torch.set_num_threads(1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(24, 24, bias=False)
        self.v_proj = torch.nn.Linear(24, 40)
        self.c_attn = Conv1D(36, 24)

    def forward(self, x):
        return [self.q_proj(x), self.v_proj(x), self.c_attn(x)]


class Net(torch.nn.Module):
    """One module of every kind, each with an output of its own."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Block(), Block()])
        self.embed_tokens = torch.nn.Embedding(30, 24)
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.LayerNorm(24)
        self.lm_head = torch.nn.Linear(24, 30, bias=False)

    def forward(self, ids, image):
        x = self.embed_tokens(ids)
        out = [x, self.conv(image), self.norm(x), self.lm_head(x)]
        for layer in self.layers:
            out += layer(x)
        return out


base_state = {k: v.clone() for k, v in Net().state_dict().items()}
for name in base_state:
    if "c_attn.weight" in name:  # Conv1D begins small
        base_state[name] *= 10
ids, image = torch.randint(30, (5, 7)), torch.randn(2, 3, 9, 9)
work = pathlib.Path(tempfile.mkdtemp(prefix="lathe-peft-"))
st.save_file(base_state, work / "base.safetensors")
checked = 0


def lathe(*arguments):
    done = subprocess.run([program, "adapt", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"FAILED: lathe adapt {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def net(path):
    model = Net()
    model.load_state_dict(st.load_file(path))
    return model.eval()


def outputs(model):
    with torch.no_grad():
        return torch.cat([y.reshape(-1) for y in model(ids, image)])


def same(found, expected, what, tolerance=1e-5):
    global checked
    apart = (found - expected).norm().item() / (expected.norm().item() or 1)
    if not apart <= tolerance:
        sys.exit(f"FAILED: {what}: off by {apart:.1e}")
    checked += 1


def train(folder, names):
    """Other numbers in the tensors that training would change."""
    path = folder / "adapter_model.safetensors"
    tensors = st.load_file(path)
    generator = torch.Generator().manual_seed(3)
    for name in sorted(tensors):
        if any(n in name for n in names):
            noise = torch.randn(tensors[name].shape, generator=generator)
            tensors[name] = tensors[name] * (1 + 0.3 * noise) if "magnitude" in name else tensors[name] + 0.2 * noise
    st.save_file(tensors, path, metadata={"format": "pt"})


def loaded(base, folder):
    return peft.PeftModel.from_pretrained(net(base), str(folder)).eval()


linear = ["--target-modules", "q_proj,v_proj"]
everything = ["--target-modules", "q_proj,v_proj,embed_tokens,conv"]
base = work / "base.safetensors"
plain = outputs(net(base))

# ---- what we write -------------------------------------------------------------------------------------------------

cases = {  # method: (its flags, targets, tensors that training changes, whether the base is replaced, how to convert)
    "lora": (["lora", "--rank", 4, "--alpha", 8], everything, ["lora_"], False, []),
    "rslora": (["rslora", "--rank", 4, "--alpha", 3], linear, ["lora_"], False, []),
    "rank_pattern": (["lora", "--rank", 4, "--rank-pattern", '{"v_proj": 2, "layers\\\\.1\\\\.q_proj": 6}', "--alpha-pattern",
                      '{"v_proj": 5}'], linear, ["lora_"], False, []),
    "regex": (["lora", "--rank", 3], ["--target-pattern", r".*\.1\.(q|v)_proj"], ["lora_"], False, []),
    "all-linear": (["lora", "--rank", 3], ["--target-modules", "all-linear", "--exclude-modules", "c_attn"], ["lora_"], False, []),
    "conv1d": (["lora", "--rank", 4, "--fan-in-fan-out"], ["--target-modules", "c_attn"], ["lora_"], False, []),
    "conv1d-pissa": (["pissa", "--rank", 4, "--fan-in-fan-out"], ["--target-modules", "c_attn"], ["lora_"], True, ["initial"]),
    "dora": (["dora", "--rank", 4], linear, ["lora_"], False, ["--rank", 24, "--base", base]),
    "dora-conv1d": (["dora", "--rank", 4, "--fan-in-fan-out"], ["--target-modules", "c_attn"], ["lora_"], False,
                    ["--rank", 24, "--base", base]),
    "pissa": (["pissa", "--rank", 4], linear, ["lora_"], True, ["initial"]),
    "pissa-alpha": (["pissa", "--rank", 4, "--alpha", 7], linear, ["lora_"], True, ["initial"]),
    "pissa_fast": (["pissa-fast", "--rank", 4], linear, ["lora_"], True, ["initial"]),
    "milora": (["milora", "--rank", 4], linear, ["lora_"], True, ["initial"]),
    "olora": (["olora", "--rank", 4, "--alpha", 6], linear, ["lora_"], True, ["initial"]),
    "mica": (["mica", "--rank", 4], linear, ["lora_A"], False, []),
    "melora": (["melora", "--ranks", "2,3"], linear, [], False, []),
    "loftq": (["loftq", "--rank", 4], linear, ["lora_"], True, []),
    "loftq-int8": (["loftq", "--rank", 4, "--kind", "int8"], linear, ["lora_"], True, []),
    "adalora": (["adalora", "--rank", 4, "--alpha", 6], linear, ["lora_"], False, []),
    "kasa": (["kasa", "--rank", 4, "--alpha", 8], linear, ["lora_"], False, ["--base", base]),
}
keeps_function = {"pissa", "pissa-alpha", "pissa_fast", "milora", "olora", "conv1d-pissa"}
for name, (method, targets, trained, replaced, conversion) in cases.items():
    start, folder, merged = work / f"{name}-start", work / name, work / f"{name}-merged.safetensors"
    residual = work / f"{name}-base.safetensors"
    lathe("init", *method[:1], base, *method[1:], *targets, "-o", start, *(["--residual", residual] if replaced else []))
    below = residual if replaced else base
    if name in keeps_function:
        same(outputs(loaded(below, start)), plain, f"{name}: the function at the beginning")
    if name in ("lora", "rslora", "dora", "mica", "melora", "adalora"):
        same(outputs(loaded(base, start)), plain, f"{name}: the function at the beginning")
    shutil.copytree(start, folder)
    train(folder, trained)
    model = loaded(below, folder)
    found = outputs(model)
    if trained and name != "loftq" and (found - plain).norm() < 1e-3 * plain.norm():
        sys.exit(f"FAILED: {name}: PEFT did not load what was trained")
    lathe("merge", below, "--adapter", folder, "-o", merged)
    same(outputs(net(merged)), found, f"{name}: outputs of the merged checkpoint against PEFT's")
    if conversion or name in ("rslora", "rank_pattern", "adalora", "mica"):
        as_lora = work / f"{name}-lora"
        flags = ["--initial", start] if conversion == ["initial"] else conversion
        lathe("convert", folder, "-o", as_lora, *flags)
        same(outputs(loaded(base, as_lora)), found, f"{name}: as a plain LoRA on the base", 2e-5)
    if not name.startswith(("dora", "kasa")):
        back = work / f"{name}-back.safetensors"
        lathe("unmerge", merged, "--adapter", folder, "-o", back)
        same(outputs(net(back)), outputs(net(below)), f"{name}: unmerged")

# lora_bias: B has a bias of its own.
folder = work / "bias"
lathe("init", "lora", base, "--rank", 4, "--target-modules", "v_proj", "-o", folder)
config = (folder / "adapter_config.json").read_text().replace('"bias": "none",', '"bias": "none",\n  "lora_bias": true,')
(folder / "adapter_config.json").write_text(config)
tensors = st.load_file(folder / "adapter_model.safetensors")
tensors |= {k.replace("lora_B.weight", "lora_B.bias"): torch.randn(v.shape[0]) for k, v in tensors.items() if "lora_B.weight" in k}
st.save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
train(folder, ["lora_B.weight"])
lathe("merge", base, "--adapter", folder, "-o", work / "bias.safetensors")
same(outputs(net(work / "bias.safetensors")), outputs(loaded(base, folder)), "lora_bias")

# Extraction: of the whole rank, the fine-tuned model again.
lathe("extract", base, work / "lora-merged.safetensors", "--target-modules", "q_proj,v_proj,embed_tokens,conv", "--max-rank", 4,
      "-o", work / "extracted")
same(outputs(loaded(base, work / "extracted")), outputs(net(work / "lora-merged.safetensors")), "extract")

# ---- what PEFT writes ----------------------------------------------------------------------------------------------


def randomised(model):
    generator = torch.Generator().manual_seed(5)
    for name, p in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            noise = torch.randn(p.shape, generator=generator)
            p.data = p.data * (1 + 0.3 * noise) if "magnitude" in name else p.data + 0.2 * noise
    return model.eval()


def peft_case(name, config, convert=None):
    model = randomised(peft.get_peft_model(net(base), config))
    folder, merged = work / f"from-peft-{name}", work / f"from-peft-{name}.safetensors"
    model.save_pretrained(str(folder))
    found = outputs(model)
    below = base
    if getattr(config, "init_lora_weights", True) in ("pissa", "olora", "pissa_niter_4"):  # the residual is PEFT's own
        below = work / f"from-peft-{name}-base.safetensors"
        with torch.no_grad():
            st.save_file({k: v.clone() for k, v in model.unload().state_dict().items()}, below)
        path = folder / "adapter_config.json"
        path.write_text(path.read_text().replace(f'"init_lora_weights": "{config.init_lora_weights}"', '"init_lora_weights": true'))
        model = loaded(below, folder)
        found = outputs(model)
    lathe("merge", below, "--adapter", folder, "-o", merged)
    same(outputs(net(merged)), found, f"PEFT's {name}, merged here: outputs")
    theirs, ours = model.merge_and_unload().state_dict(), st.load_file(merged)
    for key in ours:
        same(ours[key], theirs[key], f"PEFT's {name}: {key} against merge_and_unload")
    if convert is not None:
        lathe("convert", folder, "-o", work / f"converted-{name}", *convert)
        same(outputs(loaded(base, work / f"converted-{name}")), found, f"PEFT's {name}, converted", 2e-5)


L = peft.LoraConfig
qv = ["q_proj", "v_proj"]
peft_case("lora", L(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "embed_tokens", "conv"]), [])
peft_case("rslora", L(r=4, lora_alpha=6, use_rslora=True, target_modules=qv), [])
peft_case("regex", L(r=4, target_modules=r".*\.0\..*_proj"), [])
peft_case("patterns", L(r=4, lora_alpha=6, target_modules=qv, rank_pattern={"v_proj": 2, "^layers.0.q_proj": 6},
                        alpha_pattern={r"layers\.1\..*": 3}), [])
peft_case("conv1d", L(r=4, target_modules=["c_attn"], fan_in_fan_out=True), [])
peft_case("dora", L(r=4, use_dora=True, target_modules=qv), ["--base", base, "--rank", 24])
peft_case("lora_bias", L(r=4, lora_bias=True, target_modules=["v_proj"]), [])
peft_case("modules_to_save", L(r=4, target_modules=qv, modules_to_save=["lm_head", "norm"]))
peft_case("pissa", L(r=4, init_lora_weights="pissa", target_modules=qv))
peft_case("olora", L(r=4, init_lora_weights="olora", target_modules=qv))
if hasattr(peft, "AdaLoraConfig"):
    peft_case("adalora", peft.AdaLoraConfig(init_r=4, target_r=2, lora_alpha=6, total_step=10, target_modules=qv), [])
if "kasa_config" in L.__dataclass_fields__:
    from peft.tuners.lora.config import KasaConfig
    peft_case("kasa", L(r=4, lora_alpha=8, target_modules=qv, kasa_config=KasaConfig()), ["--base", base])
else:
    print(f"note: PEFT {peft.__version__} has no KaSA", file=sys.stderr)

# ---- combinations --------------------------------------------------------------------------------------------------

model = peft.get_peft_model(net(base), L(r=4, lora_alpha=6, target_modules=qv), adapter_name="a")
model.add_adapter("b", L(r=4, lora_alpha=3, target_modules=qv))
randomised(model)
model.save_pretrained(str(work / "pair"))
for kind, more in {"cat": [], "linear": [], "svd": ["--svd-rank", 8], "ties": ["--density", 0.6]}.items():
    model.add_weighted_adapter(["a", "b"], [0.7, -0.4], kind, combination_type=kind, svd_rank=8 if kind == "svd" else None,
                               density=0.6 if kind == "ties" else None)
    model.set_adapter(kind)
    model.eval()
    lathe("combine", work / "pair/a", work / "pair/b", "--weights", "0.7,-0.4", "--kind", kind, *more, "-o", work / f"pair-{kind}")
    same(outputs(loaded(base, work / f"pair-{kind}")), outputs(model), f"add_weighted_adapter, {kind}")

shutil.rmtree(work)
print(f"PEFT {peft.__version__}, torch {torch.__version__}: {checked} comparisons agree")
