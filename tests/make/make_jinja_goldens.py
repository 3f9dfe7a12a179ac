#!/usr/bin/env python3
"""Writes tests/data/jinja_goldens.jsonl: small templates of our own with what Jinja2 3.1.6 renders for them.

usage: tests/make/make_jinja_goldens.py > tests/data/jinja_goldens.jsonl      (needs the Python package jinja2 3.1.6)

The environment is set up as Hugging Face transformers does it (ImmutableSandboxedEnvironment, trim_blocks,
lstrip_blocks, loop controls, tojson without ASCII escapes, raise_exception, strftime_now at 2026-01-15 12:00, and a
{% generation %} tag whose spans are counted in code points of the output). The first line of the file names generator
and version; every other line is {"group", "template", "expected", "spans"} or {"group", "template", "fails": true},
all rendered with the one CONTEXT below.
"""
import datetime
import json
import sys

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

CONTEXT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Grüße, 世界! 😀\n"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello", "tool_calls": [
            {"function": {"name": "sum", "arguments": {"b": 2.5, "a": [1, None, True]}}}]},
        {"role": "tool", "content": [{"type": "text", "text": "7"}, {"type": "image"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "sum", "description": "Adds \"a\" and <b>\t\\", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "items": {"type": "array"}}, "required": []}}}],
    "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
    "extra": {
        "n": 7, "neg": -3, "pi": 3.14159, "yes": True, "no": False, "nothing": None, "empty": "", "name": "Ada Lovelace",
        "words": ["pear", "Apple", "fig", "apple", "Fig"], "numbers": [3, 1, 2, 10, 2], "nested": [[1, 2], [3, [4, 5]], []],
        "people": [{"name": "Bo", "age": 31, "tags": ["x"], "home": {"city": "Ulm"}}, {"name": "al", "age": 25, "tags": []},
                   {"name": "Cy", "age": 31, "home": {"city": "Bonn"}}],
        "table": {"z": 1, "a": "two", "M": None, "items": "own"}, "lines": "one\n\n  two\r\nthree", "floats": [1e16, 1e-5, 0.1, 100.0, -0.0, 1.5e300, 123456789.125],
        "greek": "ΣΊΣΥΦΟΣ straße ﬁ", "html": "<a href=\"x\">Tom & 'Jo'</a>", "tree": [{"v": 1, "kids": [{"v": 2, "kids": [{"v": 3, "kids": []}]}]}, {"v": 4, "kids": []}],
    },
}

CASES = {
    "white space": [
        "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", "a\n  {%- if yes -%}\n  b\n  {%- endif -%}\nc", "a {%+ if yes +%}\n b {%+ endif %}\n c",
        "x {{- n -}} y {{ n }} z", "{# note #}\nline", "  {# note #}\nline", "a {#- note -#} b", "a {#+ note +#}\n b", "{{ n }}\n\n", "{{ n }}\n", "\n{{ n }}",
        "  {{ n }}\n  {% set x = 1 %}\n  {{ x }}", "\t{% set x = 1 %}\t{{ x }}", "a\r\nb\rc{% set x = '\r\n' %}{{ x|length }}", "{% raw %}{{ n }}{% endraw %}",
        "a\n  {% raw %}\n  {% x %} \n  {% endraw %}\nb", "{%- raw -%}  {{ x }}  {%- endraw -%}  c", "{% raw -%} a {%- endraw %}", "{{ '{{' }}{{ '%}' }}", "{%if yes%}x{%endif%}",
        "{{n}}{{n}}", "{{-n-}}", "  {%- set x = 1 %}\n\n  a", "{% for i in range(2) %}\n  {{ i }}\n{% endfor %}", "{% for i in range(2) -%}\n  {{ i }}\n{%- endfor %}",
        "a\u00a0{%- set x = 1 -%}\u2003b", "{% if yes %}\n\n  a\n\n{% endif %}\n\n", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ '}}' }}", "{#\n#}\n\n{% set x = 1 %}{# #}x",
        "  {% if yes %}a{% endif %}  {% if yes %}b{% endif %}\n", "{% set x %}\n  y\n{% endset %}[{{ x }}]", "{{\n n\n}}", "{% if\n yes\n%}a{% endif %}", "", "\n", "\n\n", "plain", "{ % }} %} #}",
    ],
    "literals": [
        "{{ 'a\\n\\t\\\\\\'\\\"b' }}", "{{ \"\\x41\\u00e9\\U0001f600\\101\\0\"|length }}", "{{ '\\q\\d' }}", "{{ 'a' 'b' \"c\" }}", "{{ 'line\\\nnext' }}", "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 00 }}",
        "{{ 1.5 }} {{ 1e3 }} {{ 2.5E-3 }} {{ 1_0.2_5 }} {{ 1e16 }} {{ 1.0 }}", "{{ true }} {{ True }} {{ false }} {{ none }} {{ None }}", "{{ [1, 'a', [2,],] }}", "{{ (1,) }} {{ () }} {{ (1, 2) }} {{ 1, 2 }}",
        "{{ {'a': 1, 'b': [1, {}], 3: none, 1.5: true} }}", "{{ {'a': 1, 'a': 2} }}", "{{ floats }}", "{{ floats|map('string')|join(' ') }}", "{{ [\"it's\", 'say \"x\"', \"both ' and \\\"\", 'tab\\t', '\\x07\\x7f', 'é\u200b\ue000'] }}",
        "{{ nested }} {{ table }} {{ nothing }} {{ [nothing, yes, missing] }}", "{{ '\\x4' }}", "{{ '\\ud800' }}", "{{ 'open }}", "{{ 9223372036854775807 }}", "{{ -9223372036854775807 - 1 }}", "{{ 1.e5 }}", "{{ 01 }}", "{{ 'a'\n'b' }}",
    ],
    "operators": [
        "{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 3 }}",
        "{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** -1 }} {{ 2.0 ** 0.5 }} {{ 1 - 1.0 }} {{ 0.1 + 0.2 }} {{ 1e308 * 10 }} {{ +n }} {{ -n }} {{ - -n }} {{ -pi }}", "{{ 'a' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ 'a' * -1 }}|",
        "{{ 'a' ~ 1 ~ none ~ missing ~ 1.0 ~ [1] }}", "{{ 1 ~ 2 + 3 }}", "{{ 'a' + 'b' + 'c' }} {{ [1] + [2, 3] }} {{ (1,) + (2,) }}", "{{ yes + yes }} {{ no * 5 }} {{ -yes }}",
        "{{ 1 < 2 }} {{ 1 <= 1.0 }} {{ 2 > 3 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 'é' > 'z' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ none == none }} {{ [1] == (1,) }}",
        "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1 != 2 }}", "{{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ '' in '' }} {{ 2 in numbers }} {{ 'a' in table }} {{ 'q' not in table }} {{ 1.0 in numbers }} {{ none in [none] }} {{ 3 in range(5) }}",
        "{{ yes and no }} {{ yes or no }} {{ not yes }} {{ '' or 'd' }} {{ 'a' and 'b' }} {{ 0 or none }} {{ not not n }} {{ n and empty and x.y }}", "{{ 'a' if yes else 'b' }} {{ 'a' if no else 'b' }} [{{ 'a' if no }}] {{ 1 if no else 2 if no else 3 }}",
        "{{ 'y' if n > 5 and not no else 'n' }}", "{{ not 1 == 2 }} {{ not 'a' in 'b' }}", "{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ {} == {} }} {{ messages[0] == messages[0] }} {{ messages[0] != messages[1] }}", "{{ missing == missing2 }} {{ missing == '' }} {{ missing != none }}",
        "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ none + 1 }}", "{{ 'a' < 1 }}", "{{ none < 1 }}", "{{ missing + 'a' }}", "{{ 'a' + missing }}", "{{ -'a' }}", "{{ 1 in 5 }}", "{{ 1 in 'a' }}", "{{ missing in 'a' }}", "{{ 'a' in missing }}", "{{ [1] in {} }}",
        "{{ 5 is divisibleby 5 + 1 }}", "{{ 10 - 2 - 3 }} {{ 100 / 10 / 2 }} {{ 2 - 3 ~ 4 }}", "{{ 1 if }}", "{{ 1 + }}", "{{ (1 }}", "{{ 1) }}", "{{ [1 }}", "{{ }}", "{{ 1 2 }}", "{{ a..b }}", "{{ 'a' 1 }}", "{{ ! }}", "{{ a = 1 }}",
    ],
    "attributes and slices": [
        "{{ messages[0].role }} {{ messages[0]['role'] }} {{ messages[-1].role }} {{ messages.0.role }} [{{ messages[9] }}] [{{ messages.x }}] [{{ messages[0].x }}]", "{{ table.z }} {{ table['a'] }} {{ table.items()|list }} {{ table['items'] }}",
        "{{ numbers[1:] }} {{ numbers[:2] }} {{ numbers[::-1] }} {{ numbers[::2] }} {{ numbers[-2:] }} {{ numbers[1:-1] }} {{ numbers[10:] }} {{ numbers[:-10] }} {{ numbers[3:1] }} {{ numbers[4:1:-2] }} {{ numbers[:] }} {{ numbers[-100:100] }}",
        "{{ name[0] }} {{ name[-1] }} {{ name[:3] }} {{ name[::-1] }} {{ name[1:8:3] }} {{ messages[1].content[2:5] }} {{ messages[1].content[-3] }} {{ messages[1].content[::-2] }}", "{{ (1, 2, 3)[1:] }} {{ range(10)[2:5] }} {{ range(10)[-1] }} {{ range(10)[::3]|list }} {{ range(5, 0, -2) }}",
        "[{{ nothing.x }}] [{{ nothing[0] }}] [{{ n.x }}] [{{ name.x }}] [{{ name['x'] }}] [{{ name[99] }}] [{{ numbers['a'] }}] [{{ yes.x }}]", "{{ missing.x }}", "{{ missing[0] }}", "{{ messages[0].x.y }}", "{{ nothing.x.y }}", "{{ nothing[1:] }}", "{{ n[1:] }}", "{{ missing[1:] }}", "{{ numbers[::0] }}", "{{ numbers['a':] }}",
        "{{ missing() }}", "{{ n() }}", "{{ 'a'() }}", "{{ name.upper }}"[:0] + "{{ name.upper() }} {{ name['upper']() }}", "{{ numbers.append(1) }}", "{{ table.update({}) }}", "{{ table.pop('z') }}", "{{ numbers.append is defined }} {{ numbers.sort is undefined }} {{ numbers.index is defined }}", "{{ name.__class__ }}", "{{ name.__class__.__mro__ }}", "{{ numbers[true] }} {{ numbers[1.0] }}|", "{{ table[none] }}|{{ {none: 1}[none] }}", "{{ tools[0].function.parameters.properties['items'].type }}",
        "{{ messages[2].tool_calls[0].function.arguments.a[1] }}", "{{ people[0].home.city }} {{ people[1].home is defined }}", "{{ numbers[n - 6] }} {{ table['M' ~ ''] }}", "{{ numbers[nothing:2] }}", "{{ name[missing:] }}", "{{ table.missing.x is defined }}",
    ],
    "if and set": [
        "{% if n == 7 %}a{% elif n == 8 %}b{% else %}c{% endif %}", "{% if no %}a{% elif yes %}b{% elif yes %}x{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% else %}{% if yes %}c{% endif %}d{% endif %}", "{% if no %}{% endif %}e", "{% if '' %}a{% elif [] %}b{% elif {} %}c{% elif 0.0 %}d{% elif none %}e{% elif missing %}f{% else %}g{% endif %}",
        "{% set x = 5 %}{{ x }}{% set x = x + 1 %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [3, 4] %}{{ a }}{{ b }}", "{% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}v{{ n }}{% endset %}{{ x }}{{ x|length }}", "{% set x | upper | trim %} v {% endset %}[{{ x }}]", "{% set x | replace('a', 'b') %}banana{% endset %}{{ x }}",
        "{% if yes %}{% set y = 1 %}{% endif %}{{ y }}", "{% set n = n + 1 %}{{ n }}", "{% set ns = namespace(a=1, b='x') %}{% set ns.a = ns.a + 1 %}{% set ns.c = [1] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}[{{ ns.d }}]{{ ns }}", "{% set ns = namespace({'k': 1}, m=2) %}{{ ns.k }}{{ ns.m }}{{ ns['k'] }}", "{% set ns = namespace() %}{% set ns.x %}block{% endset %}{{ ns.x }}", "{% set x.y = 1 %}", "{% set n.y = 1 %}", "{% set table.y = 1 %}", "{% set a, b = 1 %}", "{% set a, b = [1, 2, 3] %}", "{% set a, b = missing %}",
        "{% set true = 1 %}", "{% set 'a' = 1 %}", "{% set x %}", "{% if yes %}", "{% if yes %}{% else %}{% elif yes %}{% endif %}", "{% endif %}", "{% else %}", "{% unknown %}", "{% if %}a{% endif %}", "{% set %}", "{% set x = %}", "{% with a = 1, b = n %}{{ a + b }}{% endwith %}[{{ a }}]", "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}", "{% with %}{% set x = 1 %}{{ x }}{% endwith %}[{{ x }}]", "{% set x = 1 %}{% set y %}{% set x = 2 %}{{ x }}{% endset %}{{ x }}{{ y }}",
        "{% filter upper %}a{{ name }}{% set q = 1 %}{% endfilter %}[{{ q }}]", "{% filter replace('a', '-') | upper %}banana{% endfilter %}", "{% print n, name %}|{% print 1 %}", "{% if yes: %}a{% endif %}", "{% if 1, 2 %}t{% endif %}", "{% set ns = namespace(x=0) %}{% set y = ns %}{% set y.x = 3 %}{{ ns.x }}", "{% set a = b = 1 %}",
    ],
    "loops": [
        "{% for x in numbers %}{{ loop.index }}:{{ x }}{{ ', ' if not loop.last }}{% endfor %}", "{% for x in numbers %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}", "{% for x in numbers %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in [1] %}a{% else %}none{% endfor %}", "{% for k, v in table.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in table %}{{ k }}{% endfor %}", "{% for k, v in table|items %}{{ k }}={{ v }};{% endfor %}",
        "{% for x in 'aé😀' %}[{{ x }}]{% endfor %}", "{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}", "{% for x in numbers if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.last }} {% endfor %}", "{% for x in numbers if x > 100 %}{{ x }}{% else %}none{% endfor %}", "{% for x in numbers %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in numbers %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in numbers %}{% continue %}{% else %}ran{% endfor %}", "{% for x in numbers %}{% break %}{% else %}ran{% endfor %}", "{% for x in numbers %}{% if loop.index == 2 %}{% break %}{% endif %}{% else %}ran{% endfor %}",
        "{% set x = 1 %}{% for i in range(3) %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}", "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}", "{% for x in numbers %}{% if loop.first %}{% set y = x %}{% endif %}[{{ y }}]{% endfor %}", "{% for x in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}", "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}-{{ b }} {% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in nothing %}{% endfor %}",
        "{% for item in tree recursive %}{{ item.v }}{% if item.kids %}({{ loop(item.kids) }}){% endif %}{{ loop.depth }}{% endfor %}", "{% for x in numbers %}{{ loop(x) }}{% endfor %}", "{% for x in numbers recursive %}{% set y = x %}{% endfor %}[{{ y }}][{{ x }}]", "{{ loop }}|", "{% for x in [1] %}{{ loop.x }}|{{ loop['index'] }}{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}{{ x }}", "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% for x in numbers|sort %}{{ x }} {% endfor %}", "{% for x in numbers[::-1] %}{{ x }}{% endfor %}", "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>{% endfor %}", "{% break %}", "{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for in x %}{% endfor %}", "{% for x numbers %}{% endfor %}", "{% for x in numbers %}", "{% for x in range(100001) %}{% endfor %}", "{% for x in range(0, 10, 3) %}{{ x }} {% endfor %}{{ range(0)|list }}{{ range(3, 1)|list }}", "{{ range(1, 2, 0) }}",
        "{% for x in numbers if loop.index %}{% endfor %}", "{% for x in numbers if x is odd %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% set ns = namespace(go=true) %}{% for x in numbers if ns.go %}{{ x }}{% if x == 1 %}{% set ns.go = false %}{% endif %}{% endfor %}", "{% for x in numbers %}{% set s %}{{ loop.index }}{% if x == 1 %}{% continue %}{% endif %}{% endset %}{{ s }}{% endfor %}", "{% for x in messages|map(attribute='role') %}{{ x }}{{ loop.length }}{% endfor %}", "{% for i in range(3) %}{% set l = loop %}{% for j in range(2) %}{{ l.index }}{{ loop.index }} {% endfor %}{% endfor %}", "{% set ns = namespace() %}{% for i in range(3) %}{% set ns.l = loop %}{% endfor %}{{ ns.l.index }}{{ ns.l.length }}",
    ],
    "macros": [
        "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(b=5, a=4) }} {{ m(1, 2, 3) }} {{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}{{ m() }}", "{% macro fact(k) %}{{ 1 if k <= 1 else k * (fact(k - 1)|int) }}{% endmacro %}{{ fact(6) }}", "{% macro m() %}  {{ n }}  {% endmacro %}[{{ m() }}][{{ m()|trim }}]{{ m() is string }}", "{% macro m() %}{{ x }}{% endmacro %}{% set x = 3 %}{{ m() }}", "{% macro m() %}{% set x = 9 %}{{ x }}{% endmacro %}{% set x = 3 %}{{ m() }}{{ x }}", "{% macro outer() %}{% macro inner(a) %}<{{ a }}>{% endmacro %}{{ inner(1) }}{{ inner(2) }}{% endmacro %}{{ outer() }}",
        "{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}text {{ n }}{% endcall %}", "{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }};{% endfor %}{% endmacro %}{% call(a, b=0) each(numbers) %}{{ a }}-{{ b }}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}y{% endcall %}", "{% call n() %}y{% endcall %}", "{% call 5 %}y{% endcall %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m() %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ [1, 2]|map('string')|join(m(9)) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'b': 1, 'a': 2}) }}{{ m(1, *[2]) }}{{ m(*[1], **{'b': 7}) }}", "{% for i in range(2) %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{{ m() }}{% macro m() %}{% endmacro %}", "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}{% for x in numbers %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}{% endmacro %}{{ m() }}", "{% macro m() %}a{% endmacro %}{{ m.name }}",
        "{% set ns = namespace() %}{% macro m() %}{% set ns.x = 5 %}{% endmacro %}{{ m() }}{{ ns.x }}", "{{ m(1 2) }}", "{{ range(a=1) }}", "{{ range() }}", "{{ range(1, 2, 3, 4) }}", "{{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }} {{ dict([('k', 'v')]) }}", "{{ f(a=1, 2) }}", "{{ f(*a, *b) }}",
    ],
    "string methods": [
        "[{{ '  a b '.strip() }}][{{ '  a b '.lstrip() }}][{{ '  a b '.rstrip() }}][{{ 'xxaxx'.strip('x') }}][{{ 'abcab'.lstrip('ba') }}][{{ 'éaé'.strip('é') }}]", "{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a,b'.split(sep=',') }} {{ ' a  b  c '.split(maxsplit=1) }}", "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b  c '.rsplit(none, 1) }} {{ 'a--b--c'.rsplit('--') }} {{ ' a b '.rsplit() }}", "{{ 'a'.split('') }}", "{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a\\n'.splitlines() }} {{ '\\n'.splitlines() }}{{ ''.splitlines() }}", "{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}", "{{ messages[2].content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}",
        "{{ 'banana'.replace('a', 'o') }} {{ 'banana'.replace('a', 'o', 2) }} {{ 'ab'.replace('', '-') }} {{ 'ab'.replace('', '-', 2) }} {{ 'aaa'.replace('aa', 'b') }} {{ 'a'.replace('x', 'y') }} {{ ''.replace('', 'x') }}", "{{ name.startswith('Ada') }} {{ name.endswith('lace') }} {{ name.startswith(('x', 'A')) }} {{ name.startswith('Love', 4) }} {{ name.endswith('Ada', 0, 3) }} {{ name.startswith('') }} {{ 'a'.startswith('', 2) }}", "{{ name.upper() }} {{ name.lower() }} {{ name.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ \"they're bill's\".title() }} {{ name.swapcase() }}", "{{ greek.upper() }} {{ greek.lower() }} {{ greek.title() }} {{ greek.capitalize() }} {{ 'ÀÉ ñ'.lower() }} {{ 'àé Ñ'.upper() }}", "{{ name.find('a') }} {{ name.find('zz') }} {{ name.rfind('a') }} {{ name.index('L') }} {{ name.count('a') }} {{ name.find('a', 3) }} {{ 'é😀x'.find('x') }} {{ 'aaa'.count('') }} {{ 'aaaa'.count('aa') }} {{ name.find('a', -3) }} {{ name.rindex('a', 0, 5) }}", "{{ name.index('zz') }}", "[{{ 'ab'.center(7) }}][{{ 'ab'.center(6, '*') }}][{{ 'abc'.center(6, '*') }}][{{ 'ab'.ljust(4, '.') }}][{{ 'ab'.rjust(4) }}][{{ '-5'.zfill(4) }}][{{ '5'.zfill(3) }}][{{ 'é'.center(4, '-') }}]", "{{ ', '.join(words) }} {{ '-'.join('abc') }} {{ ','.join([]) }}|{{ ','.join(messages|map(attribute='role')) }}", "{{ ','.join([1]) }}", "{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }}", "{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'x'.removesuffix('') }}",
        "{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ '1²'.isdigit() }} {{ '1²'.isdecimal() }} {{ '½'.isnumeric() }} {{ ' \\t'.isspace() }} {{ 'Ab'.islower() }} {{ 'ab1'.islower() }} {{ 'AB'.isupper() }} {{ 'Ab Cd'.istitle() }} {{ ''.isalpha() }} {{ 'é'.isalpha() }} {{ 'é'.isascii() }} {{ ''.isascii() }} {{ 'a\\n'.isprintable() }}", "{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format(1, 2) }} {{ '{a}-{b}'.format(a=1, b=none) }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:.2f} {:,} {:x} {:+d} {:%}'.format(42, pi, 1234567, 255, 5, 0.5) }} {{ '{{}}'.format() }} {{ '{!r}'.format('a') }} {{ '{0[a]} {1.x}'.format({'a': 1}, ns) if false else '' }}", "{{ '{}'.format() }}", "{{ '{'.format() }}", "{{ '%s is %d years, %.1f%%' % ('Al', 31, 99.5) }} {{ '%5s|%-5s|%05d|%x|%r' % ('a', 'b', 42, 255, 'q') }} {{ '%s' % 'one' }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % [1] }} {{ '100%%' % () }} {{ '%+d % d' % (3, 3) }} {{ '%i' % 3.9 }} {{ '%e' % 12345.678 }} {{ '%g' % 0.0001 }} {{ '%c' % 'x' }} {{ '%3s' % 'é' }}", "{{ '%s %s' % 'a' }}", "{{ '%d' % 'a' }}", "{{ '%s' % (1, 2) }}", "{{ '%q' % 1 }}", "{{ 'a'.strip(1) }}", "{{ 'a'.upper(1) }}", "{{ 'a'.replace('a') }}", "{{ 'a'.nope() }}", "{{ words.index('fig') }} {{ words.count('fig') }} {{ (1, 2, 1).count(1) }} {{ (1, 2).index(2) }}", "{{ words.index('zz') }}", "{{ table.get('z') }} {{ table.get('q') }} {{ table.get('q', 5) }} {{ table.keys()|list }} {{ table.values()|list }} {{ table.items()|list }} {{ table.keys() }} {{ table.values() }} {{ table.items() }} {{ table.keys()|length }}",
        "{{ 'a\u00a0b\u2003c'.split() }} {{ '\\x1fa\\x85'.strip() }}|", "{{ '%s' % missing }}"[:0] + "x", "{{ 'x'.join(missing) }}|",
    ],
    "filters": [
        "[{{ '  a '|trim }}][{{ 'xax'|trim('x') }}][{{ 5|trim }}][{{ missing|trim }}][{{ nothing|trim }}]", "{{ 'a b'|upper }} {{ 'A B'|lower }} {{ 'hello wORLD-foo (bar) [baz'|title }} {{ 'hELLO'|capitalize }} {{ 5|upper }} {{ greek|title }}", "{{ words|length }} {{ name|length }} {{ table|count }} {{ ''|length }} {{ missing|length }} {{ 'é😀'|length }} {{ (1, 2)|length }} {{ range(4)|length }}", "{{ 5|length }}", "{{ nothing|length }}", "{{ words|map('upper')|length }}", "{{ words|join(', ') }} {{ numbers|join }} {{ numbers|join('-') }} {{ people|join(', ', attribute='name') }} {{ 'abc'|join('.') }} {{ [none, true, 1.0]|join('|') }} {{ missing|join(',') }} {{ [1, missing]|join(',') }} {{ table|join(',') }}", "{{ 5|join }}", "{{ words|first }} {{ words|last }} {{ 'abc'|first }} {{ 'abc'|last }} [{{ []|first }}] [{{ []|last }}] {{ table|first }} {{ table|last }} {{ range(3)|last }} {{ words|map('upper')|first }}", "{{ words|map('upper')|last }}", "{{ missing|first }}|", "{{ missing|last }}",
        "{{ missing|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ nothing|default('d') }} {{ none|d('e', boolean=true) }} {{ 0|default(1) }} [{{ missing|default }}] {{ table.q|default('z') }} {{ missing|default(default_value=3) }}", "{{ 'abc'|list }} {{ table|list }} {{ range(3)|list }} {{ missing|list }} {{ words|map('upper')|list }} {{ table.items()|list }}", "{{ 5|list }}", "{{ 5|string + '5' }} {{ none|string }} {{ missing|string }}| {{ 1.0|string }} {{ [1, 'a']|string }} {{ table|string }}", "{{ '42'|int }} {{ '42.9'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ '1f'|int(base=16) }} {{ '0x1f'|int(0, 16) }} {{ 3.9|int }} {{ -3.9|int }} {{ true|int }} {{ none|int }} {{ ' 7 '|int }} {{ '1_000'|int }} {{ ''|int }} {{ [1]|int(5) }} {{ '-5'|int }} {{ '+5'|int }} {{ '1e3'|int }} {{ '0b11'|int(base=2) }} {{ '0b11'|int(base=0) }} {{ 'inf'|int }}", "{{ missing|int }}", "{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(2.5) }} {{ 3|float }} {{ '1e5'|float }} {{ true|float }} {{ none|float }} {{ ' 2 '|float }} {{ 'nan'|float }} {{ '-inf'|float }} {{ 'infinity'|float }} {{ '0x10'|float }} {{ '1_0.5'|float }} {{ '.5'|float }} {{ '5.'|float }}", "{{ missing|float }}", "{{ -5|abs }} {{ (-5)|abs }} {{ (-2.5)|abs }} {{ true|abs }}", "{{ 'a'|abs }}", "{{ 42.55|round }} {{ 42.55|round(1) }} {{ 2.5|round }} {{ 3.5|round }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 7|round }} {{ 2.675|round(2) }} {{ 1234.5|round(-2) }} {{ -0.4|round }} {{ 5|round(0, 'ceil') }} {{ 0.5|round|int }}", "{{ 1|round(method='x') }}",
        "{{ 'banana'|replace('a', 'o') }} {{ 'banana'|replace('a', 'o', 1) }} {{ 5|replace('5', '6') }} {{ missing|replace('a', 'b') }} {{ 'a1'|replace(1, 2) }}", "{{ 'abc'|reverse }} {{ numbers|reverse|list }} {{ range(3)|reverse|list }} {{ table|reverse|list }}", "{{ numbers|sort }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ numbers|sort(reverse=true) }} {{ people|sort(attribute='age')|map(attribute='name')|join(',') }} {{ people|sort(attribute='age,name')|map(attribute='name')|join(',') }} {{ people|sort(reverse=true, attribute='age')|map(attribute='name')|list }} {{ 'cab'|sort }}", "{{ [1, 'a']|sort }}", "{{ [none, 1]|sort }}", "{{ {'b': 1, 'A': 2, 'c': 0}|dictsort }} {{ {'b': 1, 'A': 2}|dictsort(true) }} {{ {'b': 1, 'A': 2}|dictsort(by='value') }} {{ {'b': 1, 'A': 2}|dictsort(reverse=true) }}", "{{ numbers|dictsort }}", "{{ words|unique|list }} {{ words|unique(true)|list }} {{ people|unique(attribute='age')|map(attribute='name')|list }}", "{{ numbers|min }} {{ numbers|max }} {{ words|min }} {{ words|max }} {{ people|max(attribute='age') }} [{{ []|max }}] {{ words|min(case_sensitive=true) }}", "{{ numbers|sum }} {{ people|sum(attribute='age') }} {{ people|sum('age', 100) }} {{ []|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [0.1, 0.2]|sum }}", "{{ words|sum }}", "{{ numbers|batch(2)|list }} {{ numbers|batch(2, 0)|list }} {{ numbers|slice(2)|list }} {{ numbers|slice(3, 'x')|list }} {{ []|batch(3)|list }} {{ [1]|slice(3)|list }}", "{% for g in people|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }};{% endfor %}{% for k, v in people|groupby('age') %}{{ k }}{{ v|length }}{% endfor %} {{ people|groupby('home.city', default='none')|map('first')|list }}", "{% for k, v in words|groupby('0') %}{{ k }}{{ v }}{% endfor %}",
        "{{ words|map('upper')|join(' ') }} {{ people|map(attribute='name')|list }} {{ people|map(attribute='home.city')|list }} {{ people|map(attribute='home.city', default='?')|list if false }} {{ people|map(attribute='tags.0')|list if false }} {{ people|map(attribute='zip', default='?')|list }} {{ words|map('replace', 'a', '4')|list }} {{ nested|map('length')|list }} {{ numbers|map('string')|map('upper')|list }} {{ words|map('default', 'x')|list }}", "{{ words|map('nope')|list }}", "{{ words|map()|list }}", "{{ numbers|select('odd')|list }} {{ numbers|reject('odd')|list }} {{ numbers|select('gt', 2)|list }} {{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1, '', 'a']|reject|list }} {{ numbers|select('in', [1, 2])|list }} {{ words|reject('equalto', 'fig')|join(', ') }} {{ numbers|select('divisibleby', 2)|list }} {{ numbers|select('==', 2)|list }}", "{{ people|selectattr('age', 'equalto', 31)|map(attribute='name')|list }} {{ people|rejectattr('age', 'gt', 30)|map(attribute='name')|list }} {{ people|selectattr('tags')|map(attribute='name')|list }} {{ people|selectattr('home.city', 'eq', 'Ulm')|list|length if false }} {{ people|selectattr('zip', 'defined')|list }} {{ messages|selectattr('role', 'in', ['user', 'tool'])|map(attribute='role')|list }} {{ messages|selectattr('role', '==', 'user')|list|length }}", "{{ numbers|select('nope')|list }}", "{% set g = numbers|select('odd') %}{{ g|list }}{{ g|list }}{{ 'truthy' if g }}", "{% set g = numbers|map('string') %}{{ g|first }}{{ g|list }}", "{% for k, v in table|items %}{{ k }}{% endfor %} {{ missing|items|list }}",
        "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb\n'|indent('> ') }}|{{ ''|indent }}|{{ 'a\nb'|indent(width=1, first=true) }}", "{{ 5|indent }}", "{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(9, false, '…', 0) }} {{ 'short'|truncate(9) }}", "{{ 'Hello, wörld 42 a_b!'|wordcount }} [{{ 'ab'|center(7) }}] {{ '%s-%s'|format(1, 'b') }} {{ '%(x)s'|format(x=2) }}", "{{ html|escape }} {{ html|e }} {{ '<b>'|safe }}", "{{ people[0]|attr('name') }}|{{ table|attr('items') is callable }}|{{ namespace(a=1)|attr('a') }}|{{ name|attr('upper')() }}", "{{ 'x'|nope }}", "{% if no %}{{ 'x'|nope }}{% endif %}ok", "{{ 'x'|upper|lower|title }} {{ 'x'|upper()|lower() }} {{ ('a' ~ 'b')|upper }} {{ 'a' ~ 'b'|upper }} {{ -5|abs }} {{ 2 + 3|string|length }}", "{{ 'a'|upper(1) }}", "{{ 'a'|replace }}", "{{ 'a'|default(1, 2, 3) }}", "{{ 'a'|trim(nope=1) }}", "{{ 'a'| }}", "{{ 'abc'|upper[0] }}", "{{ ('abc'|upper)[0] }} {{ 'abc'|upper|first }}",
    ],
    "tojson": [
        "{{ tools|tojson }}", "{{ tools|tojson(indent=2) }}", "{{ tools[0]|tojson(indent=4) }}", "{{ messages|tojson }}", "{{ table|tojson(separators=(',', ':')) }} {{ table|tojson(sort_keys=true) }} {{ table|tojson(indent=0) }} {{ table|tojson(indent='--') }}", "{{ 'é\\u2028<>&\\'\\\"\\\\/\\b\\f\\n\\r\\t\\x01\\x7f😀'|tojson }} {{ 'é😀\\x7f'|tojson(ensure_ascii=true) }} {{ 'é'|tojson(true) }}", "{{ [1, 1.0, 1e20, 0.1, true, none, -0.0, [], {}, [[]]]|tojson }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [[], {}, [1]]|tojson(indent=2) }}", "{{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ (1, 2)|tojson }} {{ 'nan'|float|tojson }} {{ '-inf'|float|tojson }}", "{{ missing|tojson }}", "{{ range(3)|tojson }}", "{{ namespace()|tojson }}", "{{ table.items()|tojson }}", "{{ numbers|map('string')|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ messages[2].tool_calls[0].function.arguments|tojson }} {{ nested|tojson(indent=1) }}", "{{ name|tojson|length }} {{ tools|tojson|length }}", "{{ table|tojson(indent=2, separators=(', ', ' : ')) }}", "{{ table|tojson(nope=1) }}", "{{ people|tojson(indent=2, sort_keys=true) }}", "{{ none|tojson }}{{ yes|tojson }}{{ n|tojson }}{{ empty|tojson }}",
    ],
    "tests": [
        "{{ n is defined }} {{ missing is defined }} {{ missing is undefined }} {{ table.q is defined }} {{ nothing is defined }} {{ nothing is none }} {{ n is not none }} {{ missing is none }}", "{{ 'a' is string }} {{ 1 is string }} {{ n is number }} {{ pi is number }} {{ yes is number }} {{ 'a' is number }} {{ n is integer }} {{ yes is integer }} {{ pi is float }} {{ yes is boolean }} {{ 1 is boolean }} {{ yes is true }} {{ 1 is true }} {{ no is false }}", "{{ table is mapping }} {{ numbers is mapping }} {{ numbers is sequence }} {{ 'a' is sequence }} {{ table is sequence }} {{ n is sequence }} {{ missing is sequence }} {{ numbers is iterable }} {{ 'a' is iterable }} {{ n is iterable }} {{ nothing is iterable }} {{ missing is iterable }} {{ range(2) is sequence }} {{ table.items() is sequence }} {{ table.items() is iterable }} {{ numbers|map('string') is iterable }} {{ numbers|map('string') is sequence }}", "{{ 2 is even }} {{ 3 is odd }} {{ 6 is divisibleby 3 }} {{ 7 is divisibleby(3) }} {{ 3 is not even }} {{ 2.0 is even }}", "{{ 'a' is eq 'a' }} {{ 1 is equalto 1.0 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ 1 is gt 2 }} {{ 1 is le 1 }} {{ 1 is lessthan 3 }} {{ 3 is greaterthan 1 }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ 1 is sameas true }} {{ 2 is in [1, 2] }} {{ 'a' is in 'cat' }} {{ 5 is not in [1] }}", "{{ 'abc' is lower }} {{ 'Abc' is lower }} {{ 'ABC' is upper }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ n is callable }} {{ 'a' is escaped }} {{ name.upper is callable }}", "{{ n is defined and n > 3 }} {{ not missing is defined }} {{ 'a' if missing is defined else 'b' }} {{ (n is defined) ~ '' }} {{ missing is defined or yes }}", "{{ n is nope }}", "{% if no %}{{ n is nope }}{% endif %}ok", "{{ n is divisibleby 2 is true }}", "{{ n is }}", "{{ n is not }}", "{{ n is divisibleby }}", "{{ 'a' is odd }}", "{{ 1 is in 5 }}", "{{ messages[3].content is string }} {{ messages[3].content is iterable and messages[3].content is not mapping }}", "{{ yes is sameas true }} {{ yes is boolean }} {{ n is integer and n is not float }}",
    ],
    "chat": [
        "{{ bos_token }}{% for m in messages %}{% if m.content is string %}<|{{ m.role }}|>{{ m.content|trim }}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}", "{% for m in messages %}{{ m['role'] + ':' }}{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}{% endif %}\n{% endfor %}", "{{ raise_exception('Roles must alternate') }}", "{% if messages[0].role != 'user' %}{{ raise_exception('first ' ~ messages[0].role) }}{% endif %}", "{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j') }}", "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{% for m in loop_messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}x{% endif %}{{ m.role }}{% endfor %}", "{{ tools is none }} {{ documents is none }} {{ documents is defined }} {{ custom_tools is defined }} {{ add_generation_prompt }}", "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.last }}{{ messages[ns.last].content|length }}", "{% set messages = messages[1:] %}{{ messages|length }}{{ messages[0].role }}", "{% for t in tools %}{% set t = t.function %}{{ t.name }}{% for k, v in t.parameters.properties.items() %}{{ k }}:{{ v.type }}{{ ',' if not loop.last }}{% endfor %}{% endfor %}", "{{ bos_token + messages[0]['content'] }}", "{{ messages|map(attribute='role')|join(' ') }}", "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{% endfor %}",
    ],
    "generation": [
        "{% for m in messages %}{% if m.role == 'assistant' %}a: {% generation %}{{ m.content }}{% endgeneration %}\n{% else %}{{ m.role }}\n{% endif %}{% endfor %}", "é😀{% generation %}世界{% endgeneration %}x{%- generation -%}  y  {%- endgeneration -%}z", "{% generation %}{% endgeneration %}a", "{% generation %}a{% generation %}b{% endgeneration %}c{% endgeneration %}d", "ab{% set x %}cd{% generation %}ef{% endgeneration %}gh{% endset %}ij{{ x }}klmnop", "{% macro m() %}1{% generation %}é{% endgeneration %}{% endmacro %}abc{{ m() }}{{ m() }}defgh", "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "{% generation %}", "{% for x in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% generation %}{{ missing.x }}{% endgeneration %}", "{% for x in numbers %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %};{% endfor %}", "{% for x in numbers %}{% generation %}{{ x }}{% endgeneration %}{% if x == 1 %}{% continue %}{% endif %}😀{% endfor %}",
    ],
}


class Generation(jinja2.ext.Extension):
    """The span of a block begins where the output stands that is complete when the block is called."""

    tags = {"generation"}

    def __init__(self, environment):
        super().__init__(environment)
        environment.generation = self

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller):
        text = caller()
        begin = sum(map(len, self.written))
        self.spans.append([begin, begin + len(text)])
        return text


def environment():
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime(2026, 1, 15, 12).strftime(form)
    return made


def render(made, source):
    variables = {k: v for k, v in CONTEXT.items() if k != "extra"}
    variables.update(documents=None, **CONTEXT["extra"])
    made.generation.written, made.generation.spans = [], []
    for text in made.from_string(source).generate(**variables):
        made.generation.written.append(text)
    text = "".join(made.generation.written)
    text.encode()  # lone surrogates are no output
    return {"expected": text, "spans": [[min(x, len(text)) for x in span] for span in made.generation.spans]}


def main():
    made = environment()
    head = {"generator": "tests/make/make_jinja_goldens.py", "jinja2": jinja2.__version__, "context": CONTEXT}
    print(json.dumps(head, ensure_ascii=False))
    for group, sources in CASES.items():
        for source in sources:
            if source == "" and group != "white space":
                continue
            try:
                result = render(made, source)
                if not result["spans"]:
                    del result["spans"]
            except Exception as problem:  # noqa: BLE001 - whatever Python raises, the engine must refuse too
                print(f"{group}: {source!r}: {type(problem).__name__}: {problem}", file=sys.stderr)
                result = {"fails": True}
            print(json.dumps({"group": group, "template": source, **result}, ensure_ascii=False))


main()
