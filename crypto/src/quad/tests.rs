//! Every implementation beside the formulas of [`curve`](crate::curve), on points of all kinds.

use super::{Addend, Point, Quad};
use crate::{
    backend::{Backend, with_lanes},
    curve,
    lanes::{
        LANES_MAX, Lanes, Limbs,
        portable::{Portable, reduced},
    },
};

type Coordinates = [Limbs; 4];

fn same(a: &Coordinates, b: &Coordinates) -> bool {
    let cross = |place: usize| {
        let (left, right) = (Lanes::mul(Portable, a[place], b[2]), Lanes::mul(Portable, b[place], a[2]));
        reduced(left) == reduced(right)
    };
    cross(0) && cross(1) && cross(3)
}

fn coordinates(sum: curve::Sum<Portable>) -> Coordinates {
    sum.point(Portable).coordinates()
}

fn doubled(sum: curve::Sum<Portable>) -> curve::Sum<Portable> {
    sum.add_extended(Portable, &sum.cached(Portable), 0).sum(Portable)
}

fn check<Q: Quad>(quad: Q, points: &[curve::Sum<Portable>]) {
    let lift = |sum: &curve::Sum<Portable>| Point(quad.element(&sum.point(Portable).coordinates()));
    let addend = |point: &curve::Sum<Portable>| -> Addend<Q> { lift(point).addend(quad) };
    let of = |point: Point<Q>| quad.limbs(point.0);
    let identity = curve::Sum::identity(Portable);
    for one in points {
        assert!(same(&of(lift(one).double(quad)), &coordinates(doubled(*one))));
        assert!(same(&of(Point::identity(quad).plus(quad, &addend(one))), &coordinates(*one)));
        for other in points {
            let cached = other.cached(Portable);
            let [sum, difference] =
                [0, 1].map(|negative| one.add_extended(Portable, &cached, negative).sum(Portable));
            assert!(same(&of(lift(one).plus(quad, &addend(other))), &coordinates(sum)));
            assert!(same(&of(lift(one).minus(quad, &addend(other))), &coordinates(difference)));
        }
        assert!(same(&of(lift(one).minus(quad, &addend(one))), &coordinates(identity)));
        // Long chains, where limbs would grow if they could.
        let (mut chain, mut expected) = (lift(one), *one);
        for _ in 0..50 {
            chain = chain.double(quad).plus(quad, &addend(one));
            expected = doubled(expected).add_extended(Portable, &one.cached(Portable), 0).sum(Portable);
            assert!(same(&of(chain), &coordinates(expected)));
        }
    }
}

#[test]
fn the_group_law_holds_with_coordinates_side_by_side() {
    let rows = curve::tests::rows(Portable);
    let points: Vec<_> = rows
        .iter()
        .map(|row| curve::Sum::from_affine(Portable, &Portable.gather_affine(&[*row], &[0; LANES_MAX]), 0))
        .collect();
    for backend in Backend::all() {
        with_lanes!(backend, quad => check(quad, &points));
    }
}
