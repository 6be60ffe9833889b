//! The tree of categories: departments, their categories, and a leaf for each kind of thing.

use uuid::Uuid;

use crate::copy_format::Rows;
use crate::corpora::departments::{Category, DEPARTMENTS};
use crate::corpora::names::{plural, slug};
use crate::rng::{Purpose, RowRng};
use crate::scale::Scale;
use crate::tables::catalogue::{Catalogue, OPENED_US};
use crate::timestamps::uuid_at;

/// A node of the tree.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: Uuid,
    /// Which of the departments it belongs to.
    pub department: usize,
    /// What a leaf holds: the kind of thing, and the category it is in. Products hang on leaves only.
    pub leaf: Option<(&'static str, &'static Category)>,
    parent_id: Option<Uuid>,
    slug: String,
    name: String,
    position: i32,
}

/// The whole tree, parents before children.
pub fn tree(scale: Scale, seed: u64) -> Vec<Node> {
    let (departments, categories, leaves) = scale.tree();
    let mut tree = Tree {
        seed,
        nodes: Vec::new(),
    };
    for (number, department) in DEPARTMENTS.iter().take(departments).enumerate() {
        let root = tree.add(number, None, department.name.to_owned(), number);
        for (position, category) in department.categories.iter().take(categories).enumerate() {
            let parent = tree.add(number, Some(root), category.name.to_owned(), position);
            for (position, noun) in category.nouns.iter().take(leaves).enumerate() {
                let leaf = tree.add(number, Some(parent), plural(noun), position);
                tree.nodes[leaf].leaf = Some((noun, category));
            }
        }
    }
    tree.nodes
}

/// Writes the row of a node.
pub fn row(catalogue: &Catalogue, index: u64, rows: &mut Rows) {
    let node = &catalogue.categories[index as usize];
    rows.row(5).uuid(node.id);
    match node.parent_id {
        Some(parent_id) => rows.uuid(parent_id),
        None => rows.null(),
    };
    rows.text(&node.slug).text(&node.name).integer(node.position);
}

struct Tree {
    seed: u64,
    nodes: Vec<Node>,
}

impl Tree {
    /// Adds a node and says where. Its slug is the path, since two departments may have a category of one name.
    fn add(&mut self, department: usize, parent: Option<usize>, name: String, position: usize) -> usize {
        let index = self.nodes.len();
        let at_us = OPENED_US + index as i64 * 1_000_000;
        let mut rng = RowRng::new(self.seed, Purpose::Category, index as u64);
        let parent = parent.map(|parent| &self.nodes[parent]);
        self.nodes.push(Node {
            id: uuid_at(at_us, index as u64, 0, &mut rng),
            department,
            leaf: None,
            parent_id: parent.map(|parent| parent.id),
            slug: parent.map_or_else(
                || slug(&name),
                |parent| format!("{}-{}", parent.slug, slug(&name)),
            ),
            name,
            position: position as i32,
        });
        index
    }
}
