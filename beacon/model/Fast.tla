-------------------------------- MODULE Fast --------------------------------
(***************************************************************************)
(* The commit rule `fast` of the beacon, with Byzantine authorities: can   *)
(* two honest observers decide one instance of the rule differently?       *)
(*                                                                         *)
(* An instance starts at a slot a(0) of round 1 and looks at a(1), the     *)
(* first slot of round 3, at a(2) of round 5, and so on. Which authorities *)
(* own these slots is free, so the check covers every permutation, every   *)
(* demoted set and every slot of a round. Instances follow one another:    *)
(* observers that agree on one instance start the next at the same slot    *)
(* with the same schedule, so agreement on one instance is agreement on    *)
(* the order (A1).                                                         *)
(*                                                                         *)
(* Two reductions keep the state small and lose nothing.                   *)
(*  - No observers. A decision needs a candidate that the observer sees    *)
(*    committed directly, and the walk back from it depends on that        *)
(*    candidate's history alone, which whoever has the candidate has. So   *)
(*    it is enough to collect which candidates SOME observer can see       *)
(*    committed directly, whatever else it has not seen; the observers     *)
(*    agree when the walks from all of these end in the same slot.         *)
(*  - No old rounds. All that a vertex says about the past is which        *)
(*    candidates are in its history, so rounds are built one after the     *)
(*    other and only the last is kept, with that set for each vertex.      *)
(*    A certificate that forms late is the same as one that forms at once  *)
(*    and is not named as a parent.                                        *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
    Honest,         \* authorities that follow the protocol
    Byzantine,      \* authorities that do not: at most f, the rest is derived
    LastRound,      \* rounds are built up to this one
    \* The rule's numbers. The correct ones are n - f and f + 1; a mutant
    \* lowers one, and the check must then fail.
    ProposalsToCommit,
    ChildrenToCommit,
    \* TRUE in a mutant: a candidate that a quorum of the next round's
    \* certified vertices does not name is skipped at once.
    DirectSkip

Authorities == Honest \cup Byzantine
N      == Cardinality(Authorities)
F      == (N - 1) \div 3
Quorum == N - F

Candidates == 0 .. (LastRound - 1) \div 2
RoundOf(k) == 2 * k + 1

ASSUME Cardinality(Byzantine) <= F

VARIABLES
    round,      \* the last round that is complete
    owner,      \* candidate -> the authority whose slot it is
    history,    \* author -> candidates in the history of its certified
                \* vertex of this round, itself included
    acted,      \* the round being built: authors that have had their turn,
    growing,    \* `history` of this round as far as it got,
    children,   \* how many certified vertices of it name the candidate judged,
    proposers,  \* and of how many authors some proposal does
    walked,     \* candidate -> where a walk back from it ends; those that
                \* exist with a certificate only
    direct,     \* candidates that some observer can see committed directly
    skipped     \* candidates that some observer can skip (mutant only)

vars == <<round, owner, history, acted, growing, children, proposers, walked, direct, skipped>>

Empty == [x \in {} |-> {}]
Certified == DOMAIN history

(* The candidate of the complete round, which the next one judges, and the *)
(* candidate of the round being built: sets of one candidate or none.      *)
Judged == { k \in Candidates : RoundOf(k) = round }
Built  == { k \in Candidates : RoundOf(k) = round + 1 }

(* A vertex names a quorum of the round before; an honest one names its    *)
(* own, if that is certified.                                              *)
ParentChoices(a) ==
    { ps \in SUBSET Certified :
        /\ Cardinality(ps) >= Quorum
        /\ (a \in Honest /\ a \in Certified) => a \in ps }

(* What an author sends in a round: an honest one a proposal or nothing.   *)
(* For a liar two different ones are the worst case: an observer counts    *)
(* one proposal per author, the first that it saw, and all that counts is  *)
(* whether there is one that names the candidate, and which is certified.  *)
Sent(a) ==
    IF a \in Honest
    THEN { {} } \cup { {ps} : ps \in ParentChoices(a) }
    ELSE { {} } \cup { {p, q} : p \in ParentChoices(a), q \in ParentChoices(a) }

Names(ps) == \E k \in Judged : owner[k] \in ps

(* Where a walk back from a candidate ends that has `past` in its history: *)
(* it goes to the latest earlier one that it reaches, and on from there.   *)
WalkBack(k, past) ==
    IF past = {} THEN k ELSE walked[CHOOSE j \in past : \A i \in past : i <= j]

Init ==
    /\ round = 1
    /\ owner \in [Candidates -> Authorities]
    /\ \E certified \in { c \in SUBSET Authorities : Cardinality(c) >= Quorum } :
        history = [a \in certified |-> IF a = owner[0] THEN {0} ELSE {}]
    /\ walked = IF owner[0] \in Certified THEN [k \in {0} |-> 0] ELSE Empty
    /\ acted = {} /\ growing = Empty /\ children = 0 /\ proposers = 0
    /\ direct = {} /\ skipped = {}

(* The next author's turn. What it sends depends on the complete round     *)
(* only, so the authors of a round can take turns in a fixed order. One    *)
(* certificate per slot (A2): at most one of its proposals is certified.   *)
Act ==
    /\ round < LastRound
    /\ acted # Authorities
    /\ LET a == CHOOSE x \in Authorities \ acted : \A y \in Authorities \ acted : x <= y IN
       /\ acted' = acted \cup {a}
       /\ \E sent \in Sent(a) :
          /\ proposers' = proposers + (IF \E ps \in sent : Names(ps) THEN 1 ELSE 0)
          /\ \/ UNCHANGED <<growing, children, walked>>
             \/ \E ps \in sent :
                  LET past == UNION { history[p] : p \in ps }
                      own  == { k \in Built : owner[k] = a }
                  IN /\ growing' = [x \in DOMAIN growing \cup {a} |->
                            IF x = a THEN past \cup own ELSE growing[x]]
                     /\ children' = children + (IF Names(ps) THEN 1 ELSE 0)
                     /\ walked' = [k \in DOMAIN walked \cup own |->
                            IF k \in own THEN WalkBack(k, past) ELSE walked[k]]
    /\ UNCHANGED <<round, owner, history, direct, skipped>>

(* A round is complete once all had their turn and a quorum is certified;  *)
(* before that nobody can send anything in the round above it.             *)
Complete ==
    /\ acted = Authorities
    /\ Cardinality(DOMAIN growing) >= Quorum
    /\ direct' = direct \cup { k \in Judged :
           /\ owner[k] \in Certified
           /\ children >= ChildrenToCommit \/ proposers >= ProposalsToCommit }
    /\ skipped' = skipped \cup { k \in Judged :
           DirectSkip /\ Cardinality(DOMAIN growing) - children >= Quorum }
    /\ history' = growing
    /\ round' = round + 1
    /\ acted' = {} /\ growing' = Empty /\ children' = 0 /\ proposers' = 0
    /\ UNCHANGED <<owner, walked>>

Next == Act \/ Complete

Spec == Init /\ [][Next]_vars

TypeOK ==
    /\ round \in 1 .. LastRound
    /\ \A a \in Certified : history[a] \subseteq Candidates
    /\ direct \subseteq DOMAIN walked

(* Everything that some observer may decide for this instance: the       *)
(* candidate that it commits first, or, in the mutant, to skip the start.  *)
SkipTheStart == -1
Decisions == { walked[k] : k \in direct } \cup (IF 0 \in skipped THEN {SkipTheStart} ELSE {})

(* A1 for one instance: nobody decides otherwise than anybody else.        *)
Agreement == Cardinality(Decisions) <= 1

(* The lemma behind it, as the text of `beacon/src/rule/fast.rs` gives it: *)
(* what somebody saw committed directly is in the history of every         *)
(* certified vertex from two rounds above it on.                           *)
Reached ==
    \A k \in direct : round >= RoundOf(k) + 2 => \A a \in Certified : k \in history[a]

(* Not an invariant: its violation shows that the interesting case, a walk *)
(* that ends below the candidate it began at, does occur.                  *)
NoWalk == \A k \in direct : walked[k] = k
=============================================================================
