//! `fresnel completions`: what a shell needs to complete arguments.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;

/// What `fresnel completions` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Whose.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "fresnel", &mut script);
    match io::Write::write_all(&mut io::stdout().lock(), &script) {
        // Who reads the first lines only, as `head` does, has what was wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Success),
    }
}
