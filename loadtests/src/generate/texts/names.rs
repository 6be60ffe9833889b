//! Names of brands and of the people who write reviews.

/// First words of brand names; with [`BRAND_ENDINGS`] they make 4 000.
pub const BRAND_ROOTS: [&str; 100] = [
    "Alder",
    "Anchor",
    "Arbor",
    "Aster",
    "Avon",
    "Badger",
    "Beacon",
    "Birchwood",
    "Bramble",
    "Bright",
    "Calder",
    "Canopy",
    "Cedar",
    "Cinder",
    "Clover",
    "Compass",
    "Copper",
    "Coral",
    "Cove",
    "Crane",
    "Dapple",
    "Delta",
    "Dune",
    "Ember",
    "Fable",
    "Falcon",
    "Fern",
    "Finch",
    "Flint",
    "Foxglove",
    "Gable",
    "Garnet",
    "Glade",
    "Granite",
    "Grove",
    "Halo",
    "Harbour",
    "Hazel",
    "Hearth",
    "Heron",
    "Hollow",
    "Indigo",
    "Iris",
    "Island",
    "Ivy",
    "Jasper",
    "Juniper",
    "Kestrel",
    "Kite",
    "Lagoon",
    "Larch",
    "Linden",
    "Loom",
    "Lumen",
    "Magpie",
    "Maple",
    "Marlow",
    "Meadow",
    "Mistral",
    "Moss",
    "Nectar",
    "Nettle",
    "Noble",
    "North",
    "Nova",
    "Oakley",
    "Opal",
    "Orchard",
    "Osprey",
    "Otter",
    "Pebble",
    "Pepper",
    "Petal",
    "Pine",
    "Plover",
    "Poppy",
    "Prairie",
    "Quarry",
    "Quill",
    "Raven",
    "Reed",
    "Ridge",
    "River",
    "Robin",
    "Rowan",
    "Saffron",
    "Sable",
    "Sorrel",
    "Spruce",
    "Summit",
    "Swift",
    "Thistle",
    "Tide",
    "Umber",
    "Velour",
    "Violet",
    "Willow",
    "Winter",
    "Wren",
    "Yarrow",
];

/// Last words of brand names.
pub const BRAND_ENDINGS: [&str; 40] = [
    "Works",
    "Studio",
    "Goods",
    "Supply",
    "House",
    "Company",
    "Workshop",
    "Makers",
    "Collective",
    "Trading",
    "Atelier",
    "Union",
    "Brothers",
    "Sisters",
    "Stores",
    "Craft",
    "Design",
    "Home",
    "Lane",
    "Mill",
    "Yard",
    "Point",
    "Row",
    "Street",
    "Bay",
    "Hill",
    "Field",
    "Bridge",
    "Gate",
    "Common",
    "Labs",
    "Objects",
    "Basics",
    "Outfitters",
    "Provisions",
    "Essentials",
    "Living",
    "Line",
    "Standard",
    "Market",
];

/// First names of people.
pub const FIRST_NAMES: [&str; 60] = [
    "Amara", "Andrea", "Anna", "Anton", "Ben", "Carla", "Chen", "Clara", "Daniel", "David", "Diego", "Elena",
    "Elif", "Emma", "Erik", "Fatima", "Felix", "Finn", "Freya", "Giulia", "Grace", "Hana", "Hugo", "Ibrahim",
    "Ida", "Ingrid", "Ivan", "James", "Jana", "Jonas", "Julia", "Kaito", "Karim", "Laura", "Lea", "Leo",
    "Lina", "Lucas", "Maja", "Marco", "Maria", "Marta", "Max", "Mei", "Mia", "Nadia", "Nina", "Noah", "Olga",
    "Oscar", "Paul", "Petra", "Priya", "Rafael", "Rosa", "Samir", "Sofia", "Tom", "Yara", "Zoe",
];

/// Countries that things are made in.
pub const COUNTRIES: [&str; 14] = [
    "Portugal",
    "Italy",
    "Germany",
    "Spain",
    "Poland",
    "France",
    "Sweden",
    "Denmark",
    "Turkey",
    "India",
    "Vietnam",
    "Japan",
    "Czechia",
    "Lithuania",
];

/// The plural of a kind of thing, as the name of its category.
pub fn plural(noun: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    if ends(&["s"]) {
        noun.to_owned()
    } else if ends(&["ch", "sh", "x"]) {
        format!("{noun}es")
    } else if ends(&["ly", "ry", "dy"]) {
        format!("{}ies", &noun[..noun.len() - 1])
    } else {
        format!("{noun}s")
    }
}

/// The form of a name in addresses: "Shoes & Bags" becomes "shoes-bags".
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}
