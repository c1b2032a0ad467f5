//! The commands that need no network, as a script meets them: output, files and exit codes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

#[test]
fn a_key_file_is_made_once_shown_and_refused_when_others_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = json(&fresnel(folder.path(), &["keys", "generate", "key", "--json"]));
    let path = folder.path().join("key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let shown = fresnel(folder.path(), &["keys", "show", "key", "--json"]);
    assert_eq!(json(&shown), made);
    let secret = fs::read_to_string(&path).unwrap().trim_end().to_owned();
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(&secret), "secrets are not printed unasked");
    assert_eq!(
        json(&fresnel(folder.path(), &["keys", "show", "key", "--json", "--secret"]))["secret"],
        secret
    );

    assert_fails(&fresnel(folder.path(), &["keys", "generate", "key"]), 2, "cannot be made");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_fails(&fresnel(folder.path(), &["keys", "show", "key"]), 2, "chmod 600");
}

#[test]
fn a_genesis_is_a_function_of_its_description() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let made = json(&fresnel(folder.path(), &["keys", "generate", name, "--json"]));
        (made["public_key"].as_str().unwrap().to_owned(), made["address"].as_str().unwrap().to_owned())
    };
    let ((consensus, _), (network, _), (_, account)) = (key("consensus"), key("network"), key("account"));
    let spec = format!(
        "name = \"test\"\nshards = 2\n[[authority]]\nname = \"a\"\nstake = 1\nconsensus_key = \"{consensus}\"\n\
         network_keys = [\"{network}\"]\n[[account]]\naddress = \"{account}\"\namount = 1000\n"
    );
    fs::write(folder.path().join("spec.toml"), &spec).unwrap();
    let make = |out: &str| {
        json(&fresnel(folder.path(), &["genesis", "--spec", "spec.toml", "--out", out, "--json"]))
    };
    let made = make("a.bin");
    assert_eq!((&made["supply"], &made["shards"]), (&Value::from("1000"), &Value::from(2)));
    assert_eq!(make("b.bin"), made);
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("a.bin"), bytes("b.bin"));

    fs::write(folder.path().join("spec.toml"), spec.replace("stake", "steak")).unwrap();
    let wrong = fresnel(folder.path(), &["genesis", "--spec", "spec.toml", "--out", "c.bin"]);
    assert_fails(&wrong, 2, "did you mean `stake`?");
    assert!(!folder.path().join("c.bin").exists());
}

#[test]
fn a_configuration_comes_from_flags_environment_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = "genesis = \"g\"\ntopology = \"t\"\ndata = \"d\"\nnetwork_key = \"k\"\nauthority = 1\n\
                roles = [\"beacon\"]\n[pacing]\nheartbeat = 111\nresend_min = 111\nresend_max = 111\n";
    fs::write(folder.path().join("node.toml"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(["config", "show", "--config", "node.toml", "--set", "pacing.heartbeat=333"])
        .env("FRESNEL__PACING__HEARTBEAT", "222")
        .env("FRESNEL__PACING__RESEND_MIN", "222")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in ["heartbeat = 333", "resend_min = 222", "resend_max = 111", "authority = 1"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in:\n{shown}");
    }

    let as_json = json(&fresnel(folder.path(), &["config", "show", "--config", "node.toml", "--json"]));
    assert_eq!(as_json["pacing"]["heartbeat"], 111);
    assert_eq!(as_json["roles"], serde_json::json!(["beacon"]));

    let unknown = ["config", "show", "--config", "node.toml", "--set", "pacing.hartbeat=1"];
    assert_fails(&fresnel(folder.path(), &unknown), 2, "did you mean `heartbeat`?");
    assert_fails(&fresnel(folder.path(), &["config", "check", "--config", "node.toml"]), 2, "cannot read g");
    let roles = ["shard", "run", "--config", "node.toml"];
    assert_fails(&fresnel(folder.path(), &roles), 2, "hosts workers alone");
}

#[test]
fn the_version_names_the_commit_and_wrong_arguments_are_told() {
    let version = fresnel(Path::new("."), &["--version"]);
    let line = String::from_utf8(version.stdout).unwrap();
    assert!(line.starts_with(concat!("fresnel ", env!("CARGO_PKG_VERSION"), " (")), "{line}");
    assert!(line.contains(env!("FRESNEL_COMMIT")), "{line}");
    let names: Vec<&str> = fresnel_crypto::Backend::all().into_iter().map(|backend| backend.name()).collect();
    assert!(names.iter().any(|name| line.trim_end().ends_with(&format!(", {name})"))), "{names:?}: {line}");
    assert_fails(&fresnel(Path::new("."), &["bench", "--shards", "3"]), 2, "power of two");
    assert_fails(&fresnel(Path::new("."), &["bench", "--fault", "kill:4@1s"]), 2, "kill:4@1s");
    assert_fails(&fresnel(Path::new("."), &["frobnicate"]), 2, "frobnicate");
}

#[test]
fn a_chain_that_is_not_for_benchmarks_leaves_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let made = json(&fresnel(folder.path(), &["keys", "generate", name, "--json"]));
        made["public_key"].as_str().unwrap().to_owned()
    };
    let (consensus, network) = (key("consensus.key"), key("network.key"));
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write(
        "spec.toml",
        format!(
            "name = \"test\"\nshards = 1\n[[authority]]\nname = \"a\"\nstake = 1\n\
             consensus_key = \"{consensus}\"\nnetwork_keys = [\"{network}\"]\n"
        ),
    );
    json(&fresnel(folder.path(), &["genesis", "--spec", "spec.toml", "--out", "genesis.bin", "--json"]));
    let address = "127.0.0.1:0";
    write(
        "topology.toml",
        format!(
            "[[process]]\nauthority = 0\nroles = [\"beacon\", \"worker-0\"]\nnetwork_key = \"{network}\"\n\
             peer_address = \"{address}\"\nclient_address = \"{address}\"\n"
        ),
    );
    write(
        "node.toml",
        "genesis = \"genesis.bin\"\ntopology = \"topology.toml\"\ndata = \"data\"\n\
         consensus_key = \"consensus.key\"\nnetwork_key = \"network.key\"\nauthority = 0\n\
         roles = [\"beacon\", \"worker-0\"]\nablate = [\"signatures\"]\n"
            .to_owned(),
    );
    let refused = fresnel(folder.path(), &["node", "run", "--config", "node.toml"]);
    assert_fails(&refused, 2, "the genesis does not say `bench = true`");
    assert!(!folder.path().join("data").exists(), "before anything is kept");
}

#[test]
fn a_simulation_says_as_json_what_it_did() {
    let arguments = ["sim", "--seeds", "2", "--duration", "1s", "--no-faults", "--json"];
    let told = json(&fresnel(Path::new("."), &arguments));
    assert_eq!((&told["passed"], &told["violations"]), (&Value::from(2), &serde_json::json!([])));
    assert!(told["total"]["commits"].as_u64().unwrap() > 0, "{told}");
}

#[test]
fn completions_of_each_shell_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = fresnel(Path::new("."), &["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        for word in ["replay", "cross-shard", "localnet"] {
            assert!(script.contains(word), "{word} in the completions of {shell}");
        }
    }
    assert_fails(&fresnel(Path::new("."), &["completions", "cmd"]), 2, "bash");
}

fn fresnel(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the binary was built")
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says) && !stderr.is_empty(), "{says:?} in: {stderr}");
}
