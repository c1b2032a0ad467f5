//! The shape of a local cluster, as `bench` and `localnet` take it.

use fresnel_loadgen::Layout;
use fresnel_types::genesis::Rule;

/// Flags of every command that starts a cluster.
#[derive(clap::Args)]
pub(crate) struct Shape {
    /// How many authorities, each of stake 1.
    #[arg(long, default_value_t = 4)]
    pub(crate) authorities: u16,
    /// How many shards: a power of two.
    #[arg(long, default_value_t = 2)]
    pub(crate) shards: u16,
    /// Processes: `node` is one per authority, `split` one per beacon and per worker.
    #[arg(long, default_value_t = Layout::Node)]
    pub(crate) layout: Layout,
    /// The commit rule: bullshark or fast.
    #[arg(long, default_value_t = Rule::default())]
    pub(crate) rule: Rule,
}
