use serde::Deserialize;

use crate::secret::Secret;

/// The `[auth]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Password of `admin` on the first start. `None`: one is generated and printed once.
    pub admin_password: Option<Secret>,
    /// Failed logins one source address may make at once; IPv6 sources count by /64.
    pub failures_per_source: u32,
    /// Failed logins one source address may make at once for one account.
    pub failures_per_account: u32,
    /// Seconds until one failed login of a source for an account is forgiven; of a source for
    /// all accounts it takes a tenth of that.
    pub failure_forgiven_seconds: u32,
    /// Passwords hashed at once; each takes 19 MiB and about 15 ms of a core. 0: one per core.
    pub concurrent_hashes: usize,
    /// Logins that may wait for their turn to be hashed; more are answered 503.
    pub max_waiting_logins: usize,
    /// Seconds a successful login is remembered; 0: every login is hashed.
    pub login_cache_seconds: u64,
    /// Entries of each cache in this room.
    pub cache_entries: usize,
    /// Seconds that accounts, projects and roles stay in use as last read while the database
    /// cannot be reached; 0: nobody is let in then.
    pub outage_grace_seconds: u64,
    /// Days a refresh token lives without being used.
    pub refresh_token_idle_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admin_password: None,
            failures_per_source: 100,
            failures_per_account: 10,
            failure_forgiven_seconds: 6,
            concurrent_hashes: 0,
            max_waiting_logins: 256,
            login_cache_seconds: 60,
            cache_entries: 10_000,
            outage_grace_seconds: 300,
            refresh_token_idle_days: 90,
        }
    }
}
