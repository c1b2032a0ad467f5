//! What a beacon counts, for metrics and tests.

/// What a beacon counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Own vertices made.
    pub proposed: u64,
    /// Own votes given, those for own vertices included.
    pub voted: u64,
    /// Of these, those given because f + 1 others hold the payload and the own worker did not get it in time.
    pub voted_on_trust: u64,
    /// Certificates assembled or received.
    pub certified: u64,
    /// Commits made by the rule.
    pub committed: u64,
    /// Commits taken over from ranges.
    pub replayed: u64,
    /// Vertices ordered.
    pub ordered_vertices: u64,
    /// Batches of own workers to be proposed again because their vertex fell below the floor.
    pub returned_batches: u64,
    /// Times that own vertices, votes or the status were sent again because nothing moved.
    pub resends: u64,
    /// Vertices asked for.
    pub fetched: u64,
    /// Requests for commits.
    pub commit_requests: u64,
    /// Slots for which two vertices of the author or two votes of a voter were seen, each of which accuses somebody.
    pub equivocations: u64,
    /// Slots for which two vertices were certified, and commits certified against the own order: more than f
    /// authorities are faulty.
    pub conflicts: u64,
    /// Requests of peers that were given too much lately.
    pub refused: u64,
    /// Messages or parts of them dropped because they were out of bounds or of no use.
    pub dropped: u64,
    /// Checkpoints that are complete in the log.
    pub checkpoints: u64,
    /// Orders asked for by an own worker that are no longer kept.
    pub orders_gone: u64,
}
