use super::*;

#[test]
fn adversaries_are_as_many_as_may_be_and_never_more() {
    for seed in 0..200 {
        let options = Options { adversary: Choice::Drawn, ..Options::of_seed(seed) };
        let committee = Chain::new(&options).genesis.committee();
        let drawn = draw(&options);
        let set: AuthoritySet = drawn.keys().copied().collect();
        assert!(!set.is_empty() && committee.stake(&set) <= committee.faulty(), "{options}");
        let one_more = |other: AuthorityIndex| {
            let more = [other].into_iter().collect();
            set.contains(other) || committee.stake(&set.union(&more)) > committee.faulty()
        };
        assert!(committee.indices().all(one_more), "{options}");
        assert!(drawn.values().all(|kinds| (1..=3).contains(&kinds.len())), "{options}");
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    let kinds = Kind::ALL.into_iter().flat_map(|kind| [Choice::All(kind), Choice::TooMany(kind)]);
    for choice in kinds.chain([Choice::None, Choice::Drawn]) {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    assert!("nobody".parse::<Choice>().expect_err("no such kind").contains("twins"));
}

#[test]
fn twins_talk_to_everybody_between_them() {
    let twins = Twins::new(3, AuthorityIndex(1));
    let mut both = 0;
    for step in 0..1_000 {
        let (first, second) = (
            twins.meet(step * 50_000, false, AuthorityIndex(0)),
            twins.meet(step * 50_000, true, AuthorityIndex(0)),
        );
        assert!(first || second);
        both += u64::from(first && second);
    }
    assert!((1..1_000).contains(&both), "{both}");
}
