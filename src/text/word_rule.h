/* word_rule.h - the two well-known word patterns, matched by hand.
 *
 *   GPT-2:    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   Llama 3:  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ Qwen:     the same with \p{N} for \p{N}{1,3}
 *
 * Every character is letter, number, space or other, so one of the alternatives always matches and a match begins where
 * the one before it ended. Each function returns the end of the match at `at` < n in valid UTF-8 text[0..n); the work
 * of all matches together is linear in n. */
#pragma once
#include <stddef.h>

size_t word_rule_gpt2(const char *text, size_t n, size_t at);
/* digits: how many \p{N} one match takes at most, >= 1. */
size_t word_rule_llama3(const char *text, size_t n, size_t at, size_t digits);
