//! `fresnel dag`: the youngest part of a beacon's DAG as a picture, with its anchors and what each commit ordered.

use std::fmt::Write;

use anyhow::bail;
use fresnel_types::{
    AuthorityIndex, Round,
    frame::Role,
    rpc::DAG_ROUNDS,
    status::{Answer, DagVertex, DagView, Query},
};

use crate::{
    exit::Exit,
    network::{self, Files},
};

/// What `fresnel dag` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Whose beacon to ask.
    #[arg(long, default_value_t = 0)]
    authority: u16,
    /// How many rounds, up to the highest.
    #[arg(long, default_value_t = DAG_ROUNDS)]
    rounds: u64,
    /// What to print.
    #[arg(long, value_enum, default_value = "svg")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For Graphviz.
    Dot,
    /// For browsers.
    Svg,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    let answer = network::block_on(async {
        let mut client = network.connect(AuthorityIndex(arguments.authority), Role::Beacon).await?;
        Ok(client.query(Role::Beacon, Query::Dag(arguments.rounds)).await?)
    })?;
    let Answer::Dag(view) = answer else { bail!("the beacon answered another question") };
    print!("{}", if arguments.format == Format::Dot { dot(&view) } else { svg(&view) });
    Ok(Exit::Success)
}

fn name(round: Round, author: AuthorityIndex) -> String {
    format!("r{round}a{author}")
}

/// What is told of a vertex besides its place.
fn label(vertex: &DagVertex) -> String {
    let commit = match (vertex.commit, vertex.anchor) {
        (Some(commit), true) => format!("anchor of commit {commit}"),
        (Some(commit), false) => format!("ordered by commit {commit}"),
        (None, _) => "not ordered".to_owned(),
    };
    format!(
        "round {}, authority {}: {commit}, {} batches",
        vertex.vertex.round, vertex.vertex.author, vertex.batches
    )
}

/// Every link of a vertex that leads to a vertex in the picture: where to, and whether it is weak.
fn links<'a>(
    view: &'a DagView,
    vertex: &'a DagVertex,
) -> impl Iterator<Item = (Round, AuthorityIndex, bool)> + 'a {
    let before = Round(vertex.vertex.round.0.saturating_sub(1));
    let parents = vertex.parents.iter().map(move |parent| (before, *parent, false));
    let weak = vertex.weak.iter().map(|link| (link.round, link.author, true));
    parents.chain(weak).filter(|(round, author, _)| {
        let place = |other: &DagVertex| (other.vertex.round, other.vertex.author);
        view.vertices.binary_search_by_key(&(*round, *author), place).is_ok()
    })
}

fn dot(view: &DagView) -> String {
    let mut text = "digraph dag {\n  rankdir = RL;\n  node [shape = circle, style = filled];\n".to_owned();
    for vertex in &view.vertices {
        let (place, label) = (name(vertex.vertex.round, vertex.vertex.author), label(vertex));
        let shape = if vertex.anchor { "doublecircle" } else { "circle" };
        let color = color(vertex);
        writeln!(text, "  {place} [shape = {shape}, fillcolor = \"{color}\", tooltip = \"{label}\"];")
            .expect("text grows");
        for (round, author, weak) in links(view, vertex) {
            let style = if weak { " [style = dashed]" } else { "" };
            writeln!(text, "  {place} -> {}{style};", name(round, author)).expect("text grows");
        }
    }
    text + "}\n"
}

/// Neighbouring commits differ; what is not ordered is white.
fn color(vertex: &DagVertex) -> &'static str {
    vertex.commit.map_or("#ffffff", |commit| COLORS[(commit.0 % COLORS.len() as u64) as usize])
}

fn svg(view: &DagView) -> String {
    let first = view.vertices.first().map_or(0, |vertex| vertex.vertex.round.0);
    let last = view.vertices.last().map_or(0, |vertex| vertex.vertex.round.0);
    let x = |round: Round| MARGIN + (round.0 - first) * COLUMN;
    let y = |author: AuthorityIndex| MARGIN + u64::from(author.0) * ROW;
    let (width, height) =
        (2 * MARGIN + (last - first) * COLUMN, 2 * MARGIN + u64::from(view.authorities.max(1) - 1) * ROW);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>rounds {first} to {last}, {} commits, floor {}</title>\n",
        view.commit, view.floor
    );
    for vertex in &view.vertices {
        let (from_x, from_y) = (x(vertex.vertex.round), y(vertex.vertex.author));
        for (round, author, weak) in links(view, vertex) {
            let dash = if weak { " stroke-dasharray=\"4 3\"" } else { "" };
            let (to_x, to_y) = (x(round), y(author));
            writeln!(
                text,
                "<line x1=\"{from_x}\" y1=\"{from_y}\" x2=\"{to_x}\" y2=\"{to_y}\" stroke=\"#b0b0b0\"{dash}/>"
            )
            .expect("text grows");
        }
    }
    for vertex in &view.vertices {
        let (at_x, at_y, thick) =
            (x(vertex.vertex.round), y(vertex.vertex.author), if vertex.anchor { 3 } else { 1 });
        writeln!(
            text,
            "<circle cx=\"{at_x}\" cy=\"{at_y}\" r=\"9\" fill=\"{}\" stroke=\"#303030\" stroke-width=\"{thick}\"><title>{}\
             </title></circle>",
            color(vertex),
            label(vertex)
        )
        .expect("text grows");
    }
    for round in (first..=last).map(Round) {
        writeln!(text, "<text x=\"{}\" y=\"14\" text-anchor=\"middle\">{round}</text>", x(round))
            .expect("text grows");
    }
    text + "</svg>\n"
}

const MARGIN: u64 = 32;
const COLUMN: u64 = 56;
const ROW: u64 = 36;
const COLORS: [&str; 6] = ["#8ecae6", "#ffd166", "#95d5b2", "#f4a6a6", "#cdb4db", "#ffb570"];

#[cfg(test)]
mod tests {
    use fresnel_types::{CommitIndex, VertexId, VertexRef};

    use super::*;

    fn view() -> DagView {
        let reference = |round, author| VertexRef {
            round: Round(round),
            author: AuthorityIndex(author),
            id: VertexId([round as u8; 32]),
        };
        let vertex = |round, author, parents: &[u16], weak, commit: Option<u64>, anchor| DagVertex {
            vertex: reference(round, author),
            parents: parents.iter().map(|&parent| AuthorityIndex(parent)).collect(),
            weak,
            batches: 2,
            commit: commit.map(CommitIndex),
            anchor,
        };
        let vertices = vec![
            vertex(7, 0, &[0, 1], vec![], Some(3), true),
            vertex(7, 2, &[0], vec![], Some(4), false),
            vertex(8, 0, &[0], vec![], Some(4), true),
            vertex(9, 0, &[0], vec![reference(7, 2), reference(6, 1)], None, false),
        ];
        DagView { authorities: 3, commit: CommitIndex(4), floor: Round(5), vertices }
    }

    #[test]
    fn pictures_have_every_vertex_and_the_links_between_them() {
        let dot = dot(&view());
        assert_eq!(dot.matches("tooltip").count(), 4);
        let links: Vec<&str> = dot.lines().filter(|line| line.contains("->")).map(str::trim).collect();
        assert_eq!(links, ["r8a0 -> r7a0;", "r9a0 -> r8a0;", "r9a0 -> r7a2 [style = dashed];"]);
        assert_eq!(dot.matches("doublecircle").count(), 2);
        assert!(dot.contains("round 9, authority 0: not ordered, 2 batches"));
        let svg = svg(&view());
        assert_eq!((svg.matches("<circle").count(), svg.matches("<line").count()), (4, 3));
        assert!(svg.contains("anchor of commit 3") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn an_empty_dag_is_an_empty_picture() {
        let empty = DagView { authorities: 4, ..DagView::default() };
        assert!(!dot(&empty).contains("->") && !svg(&empty).contains("<circle"));
    }
}
