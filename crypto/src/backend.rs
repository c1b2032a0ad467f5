//! Which of the implementations of [`Lanes`](crate::lanes::Lanes) runs, decided once, at run time.

#[cfg(target_arch = "x86_64")]
use crate::lanes::avx512::Avx512;
use crate::lanes::portable::Portable;

/// Instructions that verification uses. All give the same answers.
#[derive(Clone, Copy, Debug)]
pub struct Backend(pub(crate) Kind);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    Portable(Portable),
}

impl Backend {
    /// The fastest that this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = Avx512::detect() {
            return Self(Kind::Avx512(token));
        }
        Self::portable()
    }

    /// The one that runs on every processor.
    pub fn portable() -> Self {
        Self(Kind::Portable(Portable))
    }

    /// All that this processor has, the fastest first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::detect(), Self::portable()];
        all.dedup_by_key(|backend| backend.name());
        all
    }

    /// A short name, for figures.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512-ifma",
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
            $crate::backend::Kind::Portable($lanes) => $body,
        }
    };
}
pub(crate) use with_lanes;
