//! The engine's own threads. They are plain threads and run one job at a time to its end, so that no transaction ever
//! stands on the stack of another that waits for it. Tasks of a shared work-stealing pool can, and have dead-locked.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
};

use crate::engine::wait::Wait;

/// What all threads do together.
pub(crate) trait Job: Send + Sync {
    /// Works until nothing is left to do. `worker` is a number of its own, below the number of threads.
    fn work(&self, worker: usize);

    /// Another thread panicked: everybody returns from `work` soon.
    fn abort(&self);
}

/// The calling thread and its helpers.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts jobs, so that helpers notice a new one.
    turn: AtomicU64,
    job: Mutex<Option<Arc<dyn Job>>>,
    /// Helpers at work on the job. Only counted up under the lock of `job`.
    inside: AtomicUsize,
    closed: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Pool {
    /// Starts one helper less than `threads`.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            turn: AtomicU64::new(0),
            job: Mutex::new(None),
            inside: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let helper = |worker| {
            let shared = shared.clone();
            thread::Builder::new()
                .name(format!("executor-{worker}"))
                .spawn(move || shared.help(worker))
                .expect("the system gives a process as many threads as it was configured for")
        };
        let helpers = (1..threads).map(helper).collect();
        Self { shared, helpers }
    }

    /// How many threads work on a job, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Works on a job with all threads until it is done and they have let go of it. A helper that wakes too late does
    /// not take part. A panic of any thread goes on in this one.
    pub(crate) fn run(&self, job: Arc<dyn Job>) {
        *lock(&self.shared.job) = Some(job.clone());
        self.shared.turn.fetch_add(1, Release);
        self.helpers.iter().for_each(|helper| helper.thread().unpark());
        let own = catch_unwind(AssertUnwindSafe(|| job.work(0)));
        if own.is_err() {
            job.abort();
        }
        *lock(&self.shared.job) = None;
        let mut wait = Wait::default();
        while self.shared.inside.load(Acquire) > 0 {
            wait.turn();
        }
        if let Some(panic) = own.err().or_else(|| lock(&self.shared.panic).take()) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closed.store(true, Relaxed);
        self.shared.turn.fetch_add(1, Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            helper.join().expect("a helper catches the panics of its jobs");
        }
    }
}

impl Shared {
    fn help(&self, worker: usize) {
        let mut seen = 0;
        loop {
            let mut wait = Wait::default();
            while self.turn.load(Acquire) == seen {
                wait.turn_until_unparked();
            }
            seen = self.turn.load(Acquire);
            if self.closed.load(Relaxed) {
                return;
            }
            let job = {
                let job = lock(&self.job);
                self.inside.fetch_add(usize::from(job.is_some()), Relaxed);
                job.clone()
            };
            let Some(job) = job else { continue };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.work(worker))) {
                *lock(&self.panic) = Some(panic);
                job.abort();
            }
            drop(job);
            self.inside.fetch_sub(1, Release);
        }
    }
}

/// What these mutexes guard is whole at every instant, also where a panic let go of them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
