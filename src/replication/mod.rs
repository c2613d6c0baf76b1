//! Mirroring: targets, policies, intents, executions and the copying itself.
