/// How the embedded registry keeps its files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What an answered push survives.
    pub durability: Durability,
    /// File operations at once; more wait. Each takes a thread, and a chunk of memory while
    /// content is read or written.
    pub file_threads: usize,
    /// Upload sessions kept open between requests, each with a file descriptor. The hash of
    /// others is computed anew from their file when they go on.
    pub open_uploads: usize,
    /// An upload that nobody added to for this long is given up.
    pub upload_expiry_seconds: u64,
    /// How often given-up uploads are looked for.
    pub sweep_interval_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A power failure: files and directories are synced before the answer.
    #[default]
    Synced,
    /// A crash of the process, not of the machine: writing is left to the operating system.
    Cached,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            file_threads: 32,
            open_uploads: 256,
            upload_expiry_seconds: 24 * 60 * 60,
            sweep_interval_seconds: 60 * 60,
        }
    }
}
