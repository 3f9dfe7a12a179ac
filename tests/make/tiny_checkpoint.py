"""A Hugging Face directory with random weights, a small tokenizer and a chat template, for the integration tests.

    python3 tests/make/tiny_checkpoint.py DIRECTORY [SEED]

The head sees a constant in the residual stream through which the end token has a share of about one in ten at every
position, so that sampled responses end by themselves. Standard library only.
"""
import json, math, os, random, shutil, struct, sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = os.path.join(HERE, '../data/tokenizer_bytes.json')
END, START = 397, 396  # <|end|>, <|start|>
TEMPLATE = ("{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}")
CONFIG = dict(architectures=['LlamaForCausalLM'], model_type='llama', vocab_size=400, hidden_size=32,
              num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
              max_position_embeddings=128, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
              hidden_act='silu', bos_token_id=START, eos_token_id=END, torch_dtype='float32')


def tensors(config, seed):
    """{name: (shape, [floats])} in a fixed order."""
    rng = random.Random(seed)
    c, f, v = config['hidden_size'], config['intermediate_size'], config['vocab_size']
    kv = c * config['num_key_value_heads'] // config['num_attention_heads']
    matrix = lambda rows, columns, size: ((rows, columns), [rng.gauss(0, size) for _ in range(rows * columns)])
    out = {'model.embed_tokens.weight': matrix(v, c, 0.5)}
    for t in range(v):
        out['model.embed_tokens.weight'][1][t * c] = 2.0  # the constant
    for layer in range(config['num_hidden_layers']):
        name = f'model.layers.{layer}.'
        out[name + 'input_layernorm.weight'] = ((c,), [1.0] * c)
        for part, rows in (('q', c), ('k', kv), ('v', kv), ('o', c)):
            out[f'{name}self_attn.{part}_proj.weight'] = matrix(rows, c, 0.15)
        out[name + 'post_attention_layernorm.weight'] = ((c,), [1.0] * c)
        out[name + 'mlp.gate_proj.weight'] = matrix(f, c, 0.2)
        out[name + 'mlp.up_proj.weight'] = matrix(f, c, 0.2)
        out[name + 'mlp.down_proj.weight'] = matrix(c, f, 0.2)
    out['model.norm.weight'] = ((c,), [1.0] * c)
    out['lm_head.weight'] = matrix(v, c, 0.25)
    for t in range(v):
        out['lm_head.weight'][1][t * c] = 1.8 if t == END else 0.0
    return out


def write_safetensors(path, named):
    header, data, at = {}, [], 0
    for name, (shape, values) in named.items():
        header[name] = {'dtype': 'F32', 'shape': list(shape), 'data_offsets': [at, at + 4 * len(values)]}
        data.append(struct.pack(f'<{len(values)}f', *values))
        at += 4 * len(values)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(data))


def write_checkpoint(directory, seed=1, template=TEMPLATE, **changes):
    os.makedirs(directory, exist_ok=True)
    config = dict(CONFIG, **changes)
    put = lambda name, value: open(os.path.join(directory, name), 'w').write(json.dumps(value, indent=1))
    put('config.json', config)
    put('generation_config.json', {'bos_token_id': START, 'eos_token_id': END})
    put('tokenizer_config.json', dict({'bos_token': '<|start|>', 'eos_token': '<|end|>', 'pad_token': '<|pad|>'},
                                      **({'chat_template': template} if template is not None else {})))
    shutil.copy(TOKENIZER, os.path.join(directory, 'tokenizer.json'))
    write_safetensors(os.path.join(directory, 'model.safetensors'), tensors(config, seed))
    return directory


WORDS = 'the mill stood by the river and its wheel turned all day while the miller slept under a tree'.split()


def write_pairs(path, count, seed=1):
    """Conversational preference rows; every fourth prompt comes twice."""
    rng = random.Random(seed)
    say = lambda low, high: ' '.join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))
    prompts = [say(2, 6) for _ in range(count)]
    with open(path, 'w') as file:
        for i in range(count):
            prompt = prompts[i - 1 if i % 4 == 3 else i]
            row = {'prompt': [{'role': 'user', 'content': prompt}],
                   'chosen': [{'role': 'assistant', 'content': say(1, 6)}],
                   'rejected': [{'role': 'assistant', 'content': say(1, 6) + '.'}]}
            file.write(json.dumps(row) + '\n')
    return path


if __name__ == '__main__':
    write_checkpoint(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
