//! Which of the implementations of [`Lanes`](crate::lanes::Lanes) runs, decided at run time.
//!
//! The environment variable `FRESNEL_BACKEND`, one of `avx512-ifma`, `avx2` and `portable`, says the widest that may run, for
//! signatures and hashes alike. It is for tests and for figures: a processor behaves as one that lacks the rest.

use std::{env, sync::OnceLock};

use crate::lanes::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2::Avx2, avx512::Avx512};

/// Instructions that verification uses. All give the same answers.
#[derive(Clone, Copy, Debug)]
pub struct Backend(pub(crate) Kind);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Backend {
    /// The fastest that this processor has.
    pub fn detect() -> Self {
        Self::accelerated().next().unwrap_or(Self::portable())
    }

    /// The one that runs on every processor.
    pub fn portable() -> Self {
        Self(Kind::Portable(Portable))
    }

    /// All that this processor has, the fastest first.
    pub fn all() -> Vec<Self> {
        Self::accelerated().chain([Self::portable()]).collect()
    }

    fn accelerated() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let kinds = [
            Avx512::detect().filter(|_| allowed() >= Width::Avx512).map(Kind::Avx512),
            Avx2::detect().filter(|_| allowed() >= Width::Avx2).map(Kind::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let kinds: [Option<Kind>; 0] = [];
        kinds.into_iter().flatten().map(Self)
    }

    /// A short name, for figures.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512-ifma",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            Kind::Portable(_) => "portable",
        }
    }
}

/// How wide vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    Portable,
    Avx2,
    Avx512,
}

impl Width {
    /// The width that a backend's name stands for.
    fn named(name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Self::Portable),
            "avx2" => Some(Self::Avx2),
            "avx512-ifma" => Some(Self::Avx512),
            _ => None,
        }
    }
}

/// The widest that may run.
///
/// # Panics
/// When the variable has a value that is no backend's name: a figure or a test of something else than was asked for would
/// be worse.
pub(crate) fn allowed() -> Width {
    static ALLOWED: OnceLock<Width> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        env::var(VARIABLE).map_or(Width::Avx512, |name| {
            Width::named(&name)
                .unwrap_or_else(|| panic!("{VARIABLE} is avx512-ifma, avx2 or portable, not {name}"))
        })
    })
}

const VARIABLE: &str = "FRESNEL_BACKEND";

/// Evaluates an expression with `$lanes` bound to the token behind a [`Backend`], once compiled per token.
macro_rules! with_lanes {
    ($backend:expr, $lanes:ident => $body:expr) => {
        match $backend.0 {
            #[cfg(target_arch = "x86_64")]
            $crate::backend::Kind::Avx512($lanes) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::backend::Kind::Avx2($lanes) => $body,
            $crate::backend::Kind::Portable($lanes) => $body,
        }
    };
}
pub(crate) use with_lanes;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn nothing_wider_than_allowed_is_there() {
        let names: Vec<_> = Backend::all().into_iter().map(Backend::name).collect();
        assert!(
            names.iter().all(|name| Width::named(name).expect("a backend's name") <= allowed()),
            "{names:?}"
        );
        assert_eq!(Backend::detect().name(), names[0]);
    }

    /// This test program again, as if the processor had no AVX-512 and then no AVX2: the vectors, the fields and the hashes.
    #[test]
    fn narrower_processors_give_the_same_answers() {
        if env::var(VARIABLE).is_ok() {
            // This is such a run.
            return;
        }
        for name in ["avx2", "portable"] {
            let out = Command::new(env::current_exe().expect("a test has a program"))
                .args(["vectors::", "lanes::", "backend::", "sha512::"])
                .env(VARIABLE, name)
                .output()
                .expect("it ran before");
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && !text.contains("running 0 tests"), "{name}: {text}");
        }
    }

    #[test]
    fn only_names_of_backends_are_understood() {
        assert_eq!(Width::named("avx512-ifma"), Some(Width::Avx512));
        assert_eq!(Width::named("avx2"), Some(Width::Avx2));
        assert_eq!(Width::named("portable"), Some(Width::Portable));
        assert_eq!(Width::named("avx512"), None);
    }
}
