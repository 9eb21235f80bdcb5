"""Models of the package transformers, small, with random weights: `python -m benchmarks.models --models transformers`.

Each is built from its configuration class, so that nothing is downloaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

WORDS = 99
TOKENS = 9
WIDTH = 32
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {**SMALL, "num_key_value_heads": 2, "vocab_size": WORDS, "max_position_embeddings": 64}
ENCODER = {**SMALL, "vocab_size": WORDS, "max_position_embeddings": 64}
Built = tuple[nn.Module, dict[str, Any]]


class FirstOutput(nn.Module):
    """The first output of a model, which is what its training differentiates."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Any:
        return self.model(**inputs)[0]


def tokens(batch: int = 2) -> torch.Tensor:
    return torch.randint(3, WORDS, (batch, TOKENS))


def of_tokens(model: nn.Module) -> Built:
    return model, {"input_ids": tokens()}


def padded(model: nn.Module) -> Built:
    """Two texts, the second of which is shorter."""
    mask = torch.ones(2, TOKENS, dtype=torch.long)
    mask[1, 6:] = 0
    return model, {"input_ids": tokens(), "attention_mask": mask}


def translating(model: nn.Module) -> Built:
    return model, {"input_ids": tokens(), "decoder_input_ids": tokens()}


def gpt2(hf: Any) -> Built:
    config = hf.GPT2Config(vocab_size=WORDS, n_positions=64, n_embd=WIDTH, n_layer=2, n_head=4)
    return of_tokens(hf.GPT2LMHeadModel(config))


def llama(hf: Any) -> Built:
    return padded(hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED)))


def mistral(hf: Any) -> Built:
    return of_tokens(hf.MistralForCausalLM(hf.MistralConfig(**GROUPED, sliding_window=4)))


def qwen2(hf: Any) -> Built:
    return of_tokens(hf.Qwen2ForCausalLM(hf.Qwen2Config(**GROUPED)))


def bert(hf: Any) -> Built:
    return padded(hf.BertModel(hf.BertConfig(**ENCODER), add_pooling_layer=False))


def roberta(hf: Any) -> Built:
    return padded(hf.RobertaForMaskedLM(hf.RobertaConfig(**ENCODER)))


def t5(hf: Any) -> Built:
    config = hf.T5Config(vocab_size=WORDS, d_model=WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return translating(hf.T5ForConditionalGeneration(config))


def bart(hf: Any) -> Built:
    config = hf.BartConfig(
        vocab_size=WORDS, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
    )  # fmt: skip
    return translating(hf.BartForConditionalGeneration(config))


def vit(hf: Any) -> Built:
    model = hf.ViTModel(hf.ViTConfig(**SMALL, image_size=16, patch_size=4), add_pooling_layer=False)
    return model, {"pixel_values": torch.randn(2, 3, 16, 16)}


def whisper(hf: Any) -> Built:
    config = hf.WhisperConfig(
        vocab_size=WORDS, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=8, max_source_positions=12,
        max_target_positions=24, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = hf.WhisperForConditionalGeneration(config)
    return model, {"input_features": torch.randn(2, 8, 24), "decoder_input_ids": tokens()}


def wav2vec2(hf: Any) -> Built:
    config = hf.Wav2Vec2Config(
        **SMALL, vocab_size=WORDS, conv_dim=(16, 16), conv_stride=(4, 4), conv_kernel=(8, 4),
        num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    return hf.Wav2Vec2Model(config), {"input_values": torch.randn(2, 200)}


def mamba(hf: Any) -> Built:
    config = hf.MambaConfig(vocab_size=WORDS, hidden_size=WIDTH, state_size=4, num_hidden_layers=2)
    return of_tokens(hf.MambaForCausalLM(config))


def mixtral(hf: Any) -> Built:
    return of_tokens(hf.MixtralForCausalLM(hf.MixtralConfig(**GROUPED, num_local_experts=4)))


def clip(hf: Any) -> Built:
    text = {**SMALL, "vocab_size": WORDS, "max_position_embeddings": 64, "eos_token_id": 2, "bos_token_id": 1}
    vision = {**SMALL, "image_size": 16, "patch_size": 4}
    model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    return model, {"input_ids": tokens(), "pixel_values": torch.randn(2, 3, 16, 16)}


MODELS: dict[str, Callable[[Any], Built]] = {
    "GPT-2": gpt2, "Llama": llama, "Mistral": mistral, "Qwen2": qwen2, "BERT": bert, "RoBERTa": roberta, "T5": t5,
    "BART": bart, "ViT": vit, "Whisper": whisper, "Wav2Vec2": wav2vec2, "Mamba": mamba, "Mixtral": mixtral,
    "CLIP": clip,
}  # fmt: skip


def build(name: str, dtype: str, seed: int) -> tuple[nn.Module, tuple[()], dict[str, Any]]:
    """(a model in a dtype, no positional arguments, its inputs); without dropout and random masks."""
    torch.manual_seed(seed)
    kind = getattr(torch, dtype)
    model, inputs = MODELS[name](importlib.import_module("transformers"))
    inputs = {name: x.to(kind) if x.is_floating_point() else x for name, x in inputs.items()}
    return FirstOutput(model.eval().to(kind)), (), inputs
