/* help_topics.h - what `dice help layouts` and `dice help method` say. */
#pragma once

/* The text of a topic, NULL where there is none of that name. */
const char *help_topic(const char *name);
