/// The parts of the gateway that access rules and rate limits tell apart. Which path belongs to
/// which, the owner of the service says ([`Listener::with_areas`](super::Listener::with_areas)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The registry API.
    Registry,
    /// Where passwords are exchanged for tokens.
    Token,
    /// The REST API.
    Api,
    Metrics,
    /// What balancers and orchestrators ask all the time; never limited.
    Probe,
    Other,
}
