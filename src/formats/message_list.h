/* message_list.h - chats as every tool writes them, made into [{"role": ..., "content": ...}, ...].
 *
 * A message is {"role", "content"}, of which all members are kept (tool_calls, name, ...), or LLaMA-Factory's and
 * ShareGPT's {"from", "value"}, whose speakers get the usual roles: human, user -> user; gpt, assistant, model, ... ->
 * assistant; system; observation, tool -> tool. Content is text; a list of text parts is joined; null stands beside
 * tool_calls alone.
 * Memory: results are new references; members are shared with the input, which nobody may change afterwards. */
#pragma once
#include "base/error.h"
#include "base/json.h"

/* value: a list of messages, or one. `place` stands in messages. NULL after a failure. */
json_t *message_list_from_json(json_t *value, const char *place, Error *error);

/* One message with this text. NULL when memory is exhausted. */
json_t *message_list_from_text(const char *role, json_t *text);

/* The role of message i, "" beyond the end. */
const char *message_list_role(const json_t *list, size_t i);

/* Elements [begin, end). NULL when memory is exhausted. */
json_t *message_list_slice(const json_t *list, size_t begin, size_t end);
