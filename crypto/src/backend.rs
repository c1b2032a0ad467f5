//! Which of the implementations of [`Lanes`](crate::lanes::Lanes) runs, decided once, at run time.

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
        let kinds = [Avx512::detect().map(Kind::Avx512), Avx2::detect().map(Kind::Avx2)];
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

/// The same for what is written over [`Quad`](crate::quad::Quad).
#[cfg(test)]
macro_rules! with_quad {
    ($backend:expr, $quad:ident => $body:expr) => {
        $crate::backend::with_lanes!($backend, $quad => $body)
    };
}
#[cfg(test)]
pub(crate) use with_quad;
