//! What operators do with the data of a cluster: check it, damage of every kind included; keep a snapshot, and go on from
//! it; run out of room, and have room again; and lose a sync.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

/// A cluster in a folder.
struct Network {
    folder: PathBuf,
    _parent: tempfile::TempDir,
    running: bool,
}

impl Network {
    /// A cluster that came to its second checkpoint under a trickle of payments, and was stopped.
    fn with_two_checkpoints() -> Self {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let mut network = Self { folder: parent.path().join("net"), _parent: parent, running: true };
        let up = network.fresnel(&["localnet", "up", "--dir", network.dir(), "--json"]);
        assert!(up.status.success(), "{up:?}");
        let checkpoints = || {
            // The file is there once the process has run for a second.
            let stats = fs::read(network.data(0).join("stats.json")).unwrap_or_default();
            let stats: Value = serde_json::from_slice(&stats).unwrap_or_default();
            stats["counters"]["checkpoints"].as_u64().unwrap_or(0)
        };
        let mut nonce = 0;
        // Two workers with two checkpoints each.
        while checkpoints() < 5 {
            assert!(nonce < 60, "no checkpoints after {nonce} payments");
            for to in ["00".repeat(32), "ff".repeat(32)] {
                let paid = network.transfer(nonce, &to);
                assert!(paid.status.success(), "{paid:?}");
                nonce += 1;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        network.down();
        network
    }

    fn down(&mut self) {
        let down = self.fresnel(&["localnet", "down", "--dir", self.dir()]);
        assert!(down.status.success(), "the cluster stops in order: {down:?}");
        self.running = false;
    }

    fn dir(&self) -> &str {
        self.folder.to_str().expect("a path in UTF-8")
    }

    fn data(&self, authority: u16) -> PathBuf {
        self.folder.join(format!("authority-{authority}/data"))
    }

    fn transfer(&self, nonce: u64, to: &str) -> Output {
        let key = self.folder.join("wallet.key");
        let what = ["transfer", "--key", path(&key), "--to", to, "--amount", "3", "--nonce"];
        self.fresnel(&[&what[..], &[&nonce.to_string(), "--authority", "0", "--json"]].concat())
    }

    fn fresnel(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary was built")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fresnel"));
        command
            .args(arguments)
            .env("FRESNEL_GENESIS", self.folder.join("genesis.bin"))
            .env("FRESNEL_TOPOLOGY", self.folder.join("topology.toml"))
            .current_dir(self.folder.parent().unwrap_or(Path::new("/")));
        command
    }

    /// Starts the process of an authority again.
    fn start(&self, authority: u16) -> Child {
        let config = self.folder.join(format!("authority-{authority}/config.toml"));
        let log = fs::File::create(self.folder.join(format!("again-{authority}.log"))).expect("a file");
        let mut command = self.command(&["node", "run", "--config", path(&config)]);
        command.stderr(log).stdout(Stdio::null()).spawn().expect("the binary was built")
    }

    /// A copy of the data of an authority.
    fn copy(&self, authority: u16, name: &str) -> PathBuf {
        let to = self.folder.join(name);
        copy(&self.data(authority), &to);
        to
    }

    fn verify_data(&self, data: &Path) -> (Option<i32>, Value) {
        let output = self.fresnel(&["verify-data", path(data), "--json"]);
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), report)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.running {
            self.fresnel(&["localnet", "down", "--dir", self.dir()]);
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("room");
        }
    }
}

/// Files of a folder whose names hold this.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.to_str().is_some_and(|path| path.contains(part))).collect();
    paths.sort();
    paths
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(file).expect("a file");
    let place = at(bytes.len());
    bytes[place] ^= 0x40;
    fs::write(file, bytes).expect("the same file");
}

fn machine<'a>(report: &'a Value, name: &str) -> &'a Value {
    let machines = report["machines"].as_array().expect("a list");
    machines.iter().find(|machine| machine["machine"] == name).expect("a machine")
}

#[test]
fn sound_and_damaged_data_and_snapshots_that_are_gone_on_from() {
    let mut network = Network::with_two_checkpoints();
    let (code, sound) = network.verify_data(&network.data(0));
    assert_eq!(code, Some(0), "{sound:#}");
    for name in ["worker-0", "worker-1"] {
        let checkpoints = machine(&sound, name)["checkpoints"].as_array().expect("a list");
        assert_eq!(checkpoints.len(), 2, "{sound:#}");
        assert!(checkpoints.iter().all(|checkpoint| checkpoint["leaves"].as_u64() > Some(1)), "{sound:#}");
    }
    damage(&network);
    snapshots(&mut network);
}

fn damage(network: &Network) {
    type Damage = fn(&Path);
    // What is damaged, how, where it is noticed, and whether the machine starts all the same.
    let damages: [(&str, &str, Damage, &str, bool); 7] = [
        (
            "worker-0",
            "an entry of the log",
            |data| {
                flip(&files(&data.join("log/worker-0"), "log-")[0], |_| 200);
            },
            "log",
            false,
        ),
        (
            "beacon",
            "an entry of the log",
            |data| {
                flip(&files(&data.join("log/beacon"), "log-")[0], |_| 5_000);
            },
            "log",
            false,
        ),
        (
            "worker-1",
            "the log is gone",
            |data| {
                fs::remove_dir_all(data.join("log/worker-1")).expect("a folder");
                fs::create_dir(data.join("log/worker-1")).expect("a folder");
            },
            "recovery",
            false,
        ),
        (
            "worker-0",
            "which list of tables of one checkpoint counts",
            |data| {
                fs::write(data.join("checkpoint/worker-0/a/CURRENT"), "nonsense").expect("a file");
            },
            "checkpoint",
            true,
        ),
        (
            "worker-0",
            "the list of tables of one checkpoint",
            |data| {
                files(&data.join("checkpoint/worker-0/b"), "MANIFEST").iter().for_each(|file| {
                    flip(file, |length| length / 2);
                });
            },
            "checkpoint",
            true,
        ),
        (
            "worker-1",
            "which list of tables counts, in both",
            |data| {
                for side in ["a", "b"] {
                    fs::write(data.join("checkpoint/worker-1").join(side).join("CURRENT"), "nonsense")
                        .expect("a file");
                }
            },
            "checkpoint",
            false,
        ),
        (
            "worker-1",
            "the version of a checkpoint's file",
            |data| {
                fs::write(data.join("checkpoint/worker-1/CURRENT"), "MANIFEST-000005\n").expect("a file");
            },
            "checkpoint",
            false,
        ),
    ];
    for (number, (name, what, damage, place, starts)) in damages.into_iter().enumerate() {
        let data = network.copy(0, &format!("damaged-{number}"));
        damage(&data);
        let (code, report) = network.verify_data(&data);
        assert_eq!(code, Some(3), "{what}: {report:#}");
        let machine = machine(&report, name);
        let faults = machine["faults"].as_array().expect("a list");
        let is_there = |fault: &Value| fault["place"] == place || fault["place"].get(place).is_some();
        assert!(faults.iter().any(is_there), "{what}: {report:#}");
        assert_eq!(machine["starts"], starts, "{what}: {report:#}");
        fs::remove_dir_all(data).expect("its own folder");
    }
    let nothing = network.fresnel(&["verify-data", path(&network.folder.join("nothing"))]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    let other = network.copy(0, "foreign");
    let identity = fs::read_to_string(other.join("identity.toml")).expect("a file");
    let chain = identity.lines().find(|line| line.starts_with("chain")).expect("a chain").to_owned();
    let foreign = identity.replace(&chain, &format!("chain = \"{}\"", "ab".repeat(32)));
    fs::write(other.join("identity.toml"), foreign).expect("a file");
    let foreign = network.fresnel(&["verify-data", path(&other)]);
    assert_eq!(foreign.status.code(), Some(2), "{foreign:?}");
}

fn snapshots(network: &mut Network) {
    let data = network.data(0);
    let made = network.folder.join("snapshot");
    let create = ["snapshot", "create", path(&data), "--shard", "0", "--to", path(&made), "--json"];
    let created = network.fresnel(&create);
    assert!(created.status.success(), "{created:?}");
    let created: Value = serde_json::from_slice(&created.stdout).expect("JSON");
    assert!(created["leaves"].as_u64() > Some(1) && created["attested"].as_u64() >= Some(3), "{created}");
    let occupied = network.fresnel(&create);
    assert_eq!(occupied.status.code(), Some(1), "a snapshot is never written over another: {occupied:?}");
    let verify = |folder: &Path| network.fresnel(&["snapshot", "verify", path(folder), "--json"]);
    let verified = verify(&made);
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(serde_json::from_slice::<Value>(&verified.stdout).expect("JSON"), created);

    // Any byte of any file.
    for (number, file) in files(&made, "").iter().enumerate() {
        let altered = network.folder.join(format!("altered-{number}"));
        copy(&made, &altered);
        let file = altered.join(file.file_name().expect("a file"));
        flip(&file, |length| length / 2);
        let refused = verify(&altered);
        assert_eq!(refused.status.code(), Some(3), "{}: {refused:?}", file.display());
        fs::remove_file(&file).expect("a file");
        assert_eq!(verify(&altered).status.code(), Some(1), "{} is gone", file.display());
    }

    // The worker lost everything. Restoring is broken off by a file that is refused, and goes on.
    let restore = ["snapshot", "restore", path(&made), "--to", path(&data), "--json"];
    let occupied = network.fresnel(&restore);
    assert_eq!(
        occupied.status.code(),
        Some(1),
        "a worker that kept something is not overwritten: {occupied:?}"
    );
    fs::remove_dir_all(data.join("log/worker-0")).expect("a folder");
    fs::remove_dir_all(data.join("checkpoint/worker-0")).expect("a folder");
    let last = files(&made, "part-").pop().expect("a part");
    let whole = fs::read(&last).expect("a file");
    flip(&last, |length| length / 2);
    assert_eq!(network.fresnel(&restore).status.code(), Some(3));
    fs::write(&last, whole).expect("a file");
    let restored = network.fresnel(&restore);
    assert!(restored.status.success(), "{restored:?}");
    let (code, report) = network.verify_data(&data);
    assert_eq!(code, Some(0), "{report:#}");

    // It goes on from there with the others, who kept the order.
    network.running = true;
    let mut processes: Vec<Child> = (0..4).map(|authority| network.start(authority)).collect();
    let paid = within(30, || network.pays(0));
    let ends: Vec<Output> = processes.drain(..).map(stop).collect();
    network.running = false;
    assert!(
        paid,
        "the restored worker takes part: {}",
        fs::read_to_string(network.folder.join("again-0.log")).expect("a file")
    );
    assert!(ends.iter().all(|end| end.status.success()), "{ends:?}");
    let (code, report) = network.verify_data(&data);
    assert_eq!(code, Some(0), "{report:#}");
}

/// Both workers of an authority give up what they have, and get it from those of the others.
#[test]
fn workers_that_gave_up_their_state_get_it_from_their_peers() {
    let mut network = Network::with_two_checkpoints();
    let data = network.data(0);
    for shard in ["0", "1"] {
        let rebuilt = network.fresnel(&["rebuild", path(&data), "--shard", shard, "--json"]);
        assert!(rebuilt.status.success(), "{rebuilt:?}");
        let report: Value = serde_json::from_slice(&rebuilt.stdout).expect("JSON");
        assert_eq!((&report["diverged"], &report["exported"]), (&Value::Null, &Value::Null), "{report:#}");
        assert!(report["commit"].as_u64() > Some(1), "{report:#}");
    }
    let unknown = network.fresnel(&["rebuild", path(&data), "--shard", "7"]);
    assert_eq!(unknown.status.code(), Some(1), "there is no such worker: {unknown:?}");

    network.running = true;
    let mut processes: Vec<Child> = (0..4).map(|authority| network.start(authority)).collect();
    let paid = within(90, || network.pays(0));
    let ends: Vec<Output> = processes.drain(..).map(stop).collect();
    network.running = false;
    let said = fs::read_to_string(network.folder.join("again-0.log")).expect("a file");
    assert!(paid, "its workers take part again: {said}");
    assert!(ends.iter().all(|end| end.status.success()), "{ends:?}");
    let chunks = (1..4).flat_map(|authority| {
        let published = network.data(authority).join("published");
        let folders = ["worker-0", "worker-1"].map(|worker| published.join(worker));
        folders.into_iter().filter(|folder| folder.exists()).flat_map(|folder| files(&folder, "chunk-"))
    });
    assert!(chunks.count() > 0, "somebody published what they fetched");
    for authority in 0..4 {
        let (code, report) = network.verify_data(&network.data(authority));
        assert_eq!(code, Some(0), "{report:#}");
    }
}

/// Asks a process to stop and waits for it.
fn stop(child: Child) -> Output {
    let asked =
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill is there");
    assert!(asked.success());
    child.wait_with_output().expect("it ends")
}

/// A small disk for authority 0: it admits nothing while there is no room, serves the others, loses nothing, and goes on.
#[test]
fn a_full_disk_stops_admission_and_nothing_else() {
    let may_mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may_mount.as_ref().is_ok_and(|output| output.status.success()) {
        return eprintln!("NOT RUN: no file system can be mounted here: {may_mount:?}");
    }
    let mut network = Network::with_two_checkpoints();
    network.running = true;
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("a free port").port();
    let config = network.folder.join("authority-0/config.toml");
    let text = fs::read_to_string(&config).expect("a file");
    fs::write(&config, format!("admin_address = \"127.0.0.1:{port}\"\n{text}")).expect("a file");

    let data = network.data(0);
    let mut shell = network.shell(&data);
    let mut processes: Vec<Child> = (1..4).map(|authority| network.start(authority)).collect();
    shell.tell(&format!(
        "{} node run --config {} 2> {} & echo $! > {}",
        env!("CARGO_BIN_EXE_fresnel"),
        path(&config),
        path(&network.folder.join("small.log")),
        path(&network.folder.join("pid")),
    ));
    let ready = || get(port, "/readyz").is_some_and(|(code, _)| code == 200);
    assert!(within(30, || ready() && network.pays(0)), "it runs on the small disk");

    shell.tell(&format!("dd if=/dev/zero of={}/ballast bs=1M 2> /dev/null", path(&data)));
    let says_full =
        || get(port, "/readyz").is_some_and(|(code, body)| code == 503 && body.contains("disk_full"));
    assert!(within(10, says_full), "it says so: {:?}", get(port, "/readyz"));
    let metrics = get(port, "/metrics").expect("it answers").1;
    assert!(metrics.contains("fresnel_disk_short 1"), "{metrics}");
    let refused = network.transfer_now(0);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("overloaded"), "{refused:?}");
    // Long enough for two checkpoints, which do not fit, while the others go on.
    let mut paid = 0;
    for _ in 0..24 {
        paid += u32::from(network.pays(1));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(paid > 5, "the others go on: {paid}");
    assert!(says_full(), "it waits and has not stopped");

    shell.tell(&format!("rm {}/ballast", path(&data)));
    assert!(within(30, || ready() && network.pays(0)), "it goes on: {:?}", get(port, "/readyz"));
    let pid = fs::read_to_string(network.folder.join("pid")).expect("a file");
    let verdict = network.folder.join("verdict");
    shell.tell(&format!("kill -TERM {pid}"));
    shell.tell("wait");
    shell.tell(&format!(
        "{} verify-data {} --json > {}; echo $? > {}.code",
        env!("CARGO_BIN_EXE_fresnel"),
        path(&data),
        path(&verdict),
        path(&verdict),
    ));
    assert!(shell.end().success());
    let ends: Vec<Output> = processes.drain(..).map(stop).collect();
    network.running = false;
    assert!(ends.iter().all(|end| end.status.success()), "{ends:?}");
    let code = fs::read_to_string(network.folder.join("verdict.code")).expect("a file");
    assert_eq!(code.trim(), "0", "{:#}", read_json(&verdict));
}

/// Each of the first syncs, so that of every log and checkpoint some.
#[test]
fn a_failed_sync_stops_the_process_with_a_message() {
    let network = Network::with_two_checkpoints();
    let library = network.folder.join("faults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../node/tests/faults.c");
    let compiler =
        Command::new("cc").args(["-shared", "-fPIC", "-o", path(&library), source, "-ldl"]).output();
    if !compiler.as_ref().is_ok_and(|output| output.status.success()) {
        return eprintln!("NOT RUN: the library of faults was not built: {compiler:?}");
    }
    let config = network.folder.join("authority-0/config.toml");
    let mut stopped = 0;
    for at in [1, 2, 5, 9, 14, 20] {
        let data = network.copy(0, "before");
        let mut command = network.command(&["node", "run", "--config", path(&config)]);
        command.env("LD_PRELOAD", &library).env("FAULT_SYNC_AT", at.to_string());
        let child = command.stderr(Stdio::piped()).spawn().expect("the binary was built");
        let id = child.id().to_string();
        // Alone it has nothing to do but to open what is there and to propose.
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(3));
            Command::new("kill").args(["-TERM", &id]).output()
        });
        let output = child.wait_with_output().expect("it ends");
        late.join().expect("it only sleeps").expect("kill is there");
        assert_eq!(output.status.signal(), None, "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            stopped += 1;
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                ["failed", "cannot be used", "Input/output error"].iter().any(|word| said.contains(word)),
                "{said}"
            );
        }
        let (code, report) = network.verify_data(&network.data(0));
        assert_eq!(code, Some(0), "sync {at}: {report:#}");
        fs::remove_dir_all(network.data(0)).expect("a folder");
        fs::rename(data, network.data(0)).expect("the same disk");
    }
    assert!(stopped >= 3, "{stopped} of the syncs stopped the process");
}

impl Network {
    /// A shell with a file system of its own at `data`, which holds what was there before.
    fn shell(&self, data: &Path) -> Shell {
        let mut shell = Command::new("unshare")
            .args(["-rm", "sh"])
            .stdin(Stdio::piped())
            .env("FRESNEL_GENESIS", self.folder.join("genesis.bin"))
            .spawn()
            .expect("it ran before");
        let input = shell.stdin.take().expect("it is piped");
        let mut shell = Shell { shell, input: Some(input) };
        let aside = self.folder.join("aside");
        fs::rename(data, &aside).expect("the same disk");
        fs::create_dir(data).expect("a folder");
        shell.tell(&format!("mount -t tmpfs -o size={SMALL_DISK} none {}", path(data)));
        shell.tell(&format!("cp -r --sparse=never {}/. {}", path(&aside), path(data)));
        shell
    }

    /// A payment with whatever nonce is free.
    fn transfer_now(&self, authority: u16) -> Output {
        let key = self.folder.join("wallet.key");
        let to = "00".repeat(32);
        let what = ["transfer", "--key", path(&key), "--to", &to, "--amount", "3", "--authority"];
        self.fresnel(&[&what[..], &[&authority.to_string(), "--json"]].concat())
    }

    fn pays(&self, authority: u16) -> bool {
        self.transfer_now(authority).status.success()
    }
}

/// A shell that is told what to do line by line.
struct Shell {
    shell: Child,
    input: Option<std::process::ChildStdin>,
}

impl Shell {
    fn tell(&mut self, line: &str) {
        use std::io::Write;
        let input = self.input.as_mut().expect("it was not ended");
        writeln!(input, "{line}").expect("it listens");
    }

    fn end(mut self) -> std::process::ExitStatus {
        self.input = None;
        self.shell.wait().expect("it ends")
    }
}

/// Whether it comes true in so many seconds.
fn within(seconds: u64, condition: impl Fn() -> bool) -> bool {
    (0..seconds * 5).any(|_| {
        condition() || {
            std::thread::sleep(Duration::from_millis(200));
            false
        }
    })
}

/// Status and body of an answer on loopback.
fn get(port: u16, what: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    Some((code, answer))
}

/// Room for the logs of three machines, what must be left free, and some checkpoints.
const SMALL_DISK: &str = "900m";
