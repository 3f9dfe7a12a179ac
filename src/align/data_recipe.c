#include "align/data_recipe.h"

EncodeRules data_recipe_rules(const Recipe *recipe, const Chat *chat, const HfConfig *config) {
    size_t context = config->max_positions, longest = recipe->data.max_tokens;
    bool template_end = recipe->reward.response_end == RECIPE_RESPONSE_END_TEMPLATE;
    return (EncodeRules){.chat = chat,
                         .wrap = recipe->data.chat == RECIPE_CHAT_ALWAYS ||
                                 (recipe->data.chat == RECIPE_CHAT_AUTO && chat->chat_template != NULL),
                         .system = recipe->data.system,
                         .end = template_end ? CHAT_END_TEMPLATE : CHAT_END_STOP,
                         .max_tokens = longest < context ? longest : context,
                         .vocabulary = config->vocabulary,
                         .overlong = (OverlongRule)recipe->data.overlong, // the same order
                         .max_prompt_tokens = recipe->data.max_prompt_tokens,
                         .overlong_prompt = (OverlongRule)recipe->data.overlong_prompt,
                         .deduplicate = recipe->data.deduplicate,
                         .keep_all = recipe->data.keep_all};
}
