//! The one long power: a^((p − 5)/8), on which square roots rest. It is a third of what a signature under a new key costs.

/// What a power needs of a field, on several independent elements at once.
pub(crate) trait Multiply: Copy {
    /// One field element per lane.
    type Element: Copy;

    /// Runs `body` compiled for this processor.
    fn run<R>(self, body: impl FnOnce() -> R) -> R;
    /// a · b.
    fn mul(self, a: Self::Element, b: Self::Element) -> Self::Element;
    /// a².
    fn square(self, a: Self::Element) -> Self::Element;
}

/// a^(2^252 − 3), the power (p − 5)/8, in each group: 251 squarings and 11 products.
#[inline(always)]
pub(crate) fn for_roots<M: Multiply, const GROUPS: usize>(
    field: M,
    a: [M::Element; GROUPS],
) -> [M::Element; GROUPS] {
    // The names say the exponent: `ones_n` is a^(2^n − 1).
    let a2 = squared(field, a, 1);
    let a8 = squared(field, a2, 2);
    let a9 = product(field, a8, a);
    let a11 = product(field, a9, a2);
    let a22 = squared(field, a11, 1);
    let ones_5 = product(field, a22, a9);
    let ones_10 = product(field, squared(field, ones_5, 5), ones_5);
    let ones_20 = product(field, squared(field, ones_10, 10), ones_10);
    let ones_40 = product(field, squared(field, ones_20, 20), ones_20);
    let ones_50 = product(field, squared(field, ones_40, 10), ones_10);
    let ones_100 = product(field, squared(field, ones_50, 50), ones_50);
    let ones_200 = product(field, squared(field, ones_100, 100), ones_100);
    let ones_250 = product(field, squared(field, ones_200, 50), ones_50);
    product(field, squared(field, ones_250, 2), a)
}

/// a·b in each group.
#[inline(always)]
fn product<M: Multiply, const GROUPS: usize>(
    field: M,
    a: [M::Element; GROUPS],
    b: [M::Element; GROUPS],
) -> [M::Element; GROUPS] {
    let mut products = a;
    for group in 0..GROUPS {
        products[group] = field.mul(a[group], b[group]);
    }
    products
}

/// a^(2^`times`) in each group. Not inlined, since ten copies of it would not leave room for anything else in the
/// instruction cache.
#[inline(never)]
fn squared<M: Multiply, const GROUPS: usize>(
    field: M,
    mut a: [M::Element; GROUPS],
    times: usize,
) -> [M::Element; GROUPS] {
    field.run(
        #[inline(always)]
        || {
            for _ in 0..times {
                for element in &mut a {
                    *element = field.square(*element);
                }
            }
            a
        },
    )
}
