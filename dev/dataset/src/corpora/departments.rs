//! The departments of the shop, their categories and the kinds of things in each.
//! Read next: [`crate::tables::categories`], which makes the tree of them.

/// A department: the root of a tree of categories, and the words that belong to it.
#[derive(Debug)]
pub struct Department {
    /// What it is called.
    pub name: &'static str,
    /// What its goods are made of.
    pub materials: [&'static str; 8],
    /// What is good about them, as the object of a sentence.
    pub features: [&'static str; 8],
    /// What they are for, after "for".
    pub uses: [&'static str; 6],
    /// Its categories.
    pub categories: [Category; 5],
}

/// A category, whose nouns are its leaves.
#[derive(Debug)]
pub struct Category {
    /// What it is called.
    pub name: &'static str,
    /// The middle of its prices, in cents.
    pub median_price_cents: u32,
    /// How its products come in variants.
    pub options: Options,
    /// The kinds of things in it, in the singular.
    pub nouns: [&'static str; 6],
}

/// What the variants of a product differ in, apart from colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    /// XS to XXL.
    Clothes,
    /// European shoe sizes.
    Shoes,
    /// Small to large, dearer as they grow.
    Sizes,
    /// Millilitres, dearer as they grow.
    Volumes,
    /// Pieces in a pack, dearer as they grow.
    Packs,
}

impl Options {
    /// The name of the option.
    pub const fn name(self) -> &'static str {
        match self {
            Options::Clothes | Options::Shoes | Options::Sizes => "Size",
            Options::Volumes => "Volume",
            Options::Packs => "Pack",
        }
    }

    /// Its values, in order.
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            Options::Clothes => &["XS", "S", "M", "L", "XL", "XXL"],
            Options::Shoes => &["37", "38", "39", "40", "41", "42", "43", "44"],
            Options::Sizes => &["Small", "Medium", "Large"],
            Options::Volumes => &["50 ml", "100 ml", "250 ml", "500 ml"],
            Options::Packs => &["1 piece", "2 pieces", "4 pieces", "6 pieces"],
        }
    }

    /// By how many percent each step up is dearer.
    pub const fn step_percent(self) -> u64 {
        match self {
            Options::Clothes | Options::Shoes => 0,
            Options::Sizes => 22,
            Options::Volumes => 60,
            Options::Packs => 80,
        }
    }
}

const fn category(
    name: &'static str,
    median_price_cents: u32,
    options: Options,
    nouns: [&'static str; 6],
) -> Category {
    Category {
        name,
        median_price_cents,
        options,
        nouns,
    }
}

/// Every colour that things come in.
pub const COLOURS: [&str; 20] = [
    "Black", "White", "Navy", "Grey", "Olive", "Sand", "Rust", "Burgundy", "Teal", "Mustard", "Charcoal",
    "Ivory", "Sage", "Cobalt", "Blush", "Slate", "Amber", "Plum", "Forest", "Stone",
];

/// All departments, the largest first.
#[rustfmt::skip] // A table: one line a category reads better than ten.
pub const DEPARTMENTS: [Department; 12] = [
    Department {
        name: "Clothing",
        materials: ["Merino", "Organic Cotton", "Linen", "Denim", "Corduroy", "Flannel", "Cashmere", "Jersey"],
        features: [
            "flat seams that do not chafe", "a relaxed fit", "buttons made of corozo nut", "reinforced elbows",
            "a soft brushed inside", "deep pockets", "a collar that keeps its shape", "a longer back",
        ],
        uses: [
            "cool evenings", "long days at a desk", "layering in winter", "weekends away", "travel with hand luggage",
            "warm summer days",
        ],
        categories: [
            category("Tops", 3900, Options::Clothes, ["T-Shirt", "Shirt", "Polo", "Blouse", "Tank Top", "Henley"]),
            category("Knitwear", 7900, Options::Clothes, ["Sweater", "Cardigan", "Hoodie", "Vest", "Pullover", "Poncho"]),
            category("Bottoms", 6900, Options::Clothes, ["Chino", "Skirt", "Jogger", "Culotte", "Legging", "Short"]),
            category("Outerwear", 14900, Options::Clothes, ["Jacket", "Coat", "Parka", "Raincoat", "Overshirt", "Anorak"]),
            category("Nightwear", 4500, Options::Clothes, ["Pyjama Set", "Robe", "Nightshirt", "Lounge Trouser", "Slip", "Sleep Top"]),
        ],
    },
    Department {
        name: "Shoes & Bags",
        materials: ["Full-Grain Leather", "Suede", "Waxed Canvas", "Nubuck", "Recycled Nylon", "Wool Felt", "Cork", "Calfskin"],
        features: [
            "a stitched sole that can be replaced", "a padded heel", "brass buckles", "a water-repellent finish",
            "a lining of vegetable-tanned leather", "an inner pocket with a zip", "a wide toe box", "rounded straps",
        ],
        uses: [
            "the daily commute", "city walks", "wet pavements", "short trips", "an office with a dress code",
            "carrying a laptop",
        ],
        categories: [
            category("Shoes", 11900, Options::Shoes, ["Sneaker", "Derby", "Loafer", "Oxford", "Trainer", "Brogue"]),
            category("Boots", 15900, Options::Shoes, ["Chelsea Boot", "Ankle Boot", "Hiking Boot", "Work Boot", "Rain Boot", "Desert Boot"]),
            category("Sandals", 6900, Options::Shoes, ["Sandal", "Slide", "Clog", "Espadrille", "Slipper", "Mule"]),
            category("Bags", 12900, Options::Sizes, ["Backpack", "Tote", "Weekender", "Messenger Bag", "Shoulder Bag", "Belt Bag"]),
            category("Small Leather Goods", 4900, Options::Sizes, ["Wallet", "Card Holder", "Key Ring", "Belt", "Passport Cover", "Coin Purse"]),
        ],
    },
    Department {
        name: "Furniture",
        materials: ["Oak", "Walnut", "Ash", "Birch", "Powder-Coated Steel", "Rattan", "Marble", "Beech"],
        features: [
            "dovetailed joints", "adjustable feet", "an oiled surface", "rounded edges", "a hidden cable duct",
            "soft-closing hinges", "a top that resists heat", "legs that screw in without tools",
        ],
        uses: [
            "small flats", "a reading corner", "family dinners", "a home office", "narrow hallways", "guest rooms",
        ],
        categories: [
            category("Tables", 34900, Options::Sizes, ["Side Table", "Dining Table", "Coffee Table", "Console Table", "Desk", "Bar Table"]),
            category("Seating", 24900, Options::Sizes, ["Chair", "Armchair", "Stool", "Bench", "Sofa", "Rocking Chair"]),
            category("Storage", 19900, Options::Sizes, ["Bookcase", "Sideboard", "Wardrobe", "Drawer Unit", "Coat Rack", "Wall Rack"]),
            category("Beds", 44900, Options::Sizes, ["Bed Frame", "Daybed", "Bunk Bed", "Headboard", "Mattress", "Cot"]),
            category("Lighting", 9900, Options::Sizes, ["Floor Lamp", "Table Lamp", "Pendant", "Wall Light", "Lantern", "Reading Lamp"]),
        ],
    },
    Department {
        name: "Kitchen",
        materials: ["Stainless Steel", "Cast Iron", "Stoneware", "Borosilicate Glass", "Acacia", "Enamel", "Copper", "Porcelain"],
        features: [
            "a base for induction hobs", "a handle that stays cool", "a lid that seals tightly", "a pouring lip",
            "measuring marks on the inside", "a surface that releases food easily", "feet that do not slip",
            "a shape that stacks",
        ],
        uses: [
            "slow Sunday cooking", "quick weekday meals", "baking with children", "large gatherings",
            "brewing for two", "keeping leftovers",
        ],
        categories: [
            category("Cookware", 6900, Options::Sizes, ["Frying Pan", "Saucepan", "Casserole", "Wok", "Stockpot", "Grill Pan"]),
            category("Tableware", 2900, Options::Packs, ["Dinner Plate", "Bowl", "Mug", "Espresso Cup", "Platter", "Tumbler"]),
            category("Tools", 1900, Options::Packs, ["Whisk", "Spatula", "Ladle", "Grater", "Peeler", "Rolling Pin"]),
            category("Coffee & Tea", 4900, Options::Sizes, ["Teapot", "Coffee Grinder", "French Press", "Kettle", "Milk Frother", "Coffee Dripper"]),
            category("Food Storage", 2400, Options::Packs, ["Storage Jar", "Lunch Box", "Bread Bin", "Spice Jar", "Butter Dish", "Cake Tin"]),
        ],
    },
    Department {
        name: "Home Textiles",
        materials: ["Washed Linen", "Percale", "Sateen", "Lambswool", "Jute", "Velvet", "Waffle Cotton", "Alpaca"],
        features: [
            "a hem sewn by hand", "colours that survive sixty degrees", "a concealed zip", "a dense weave",
            "tassels at both ends", "a filling from recycled bottles", "loops for hanging", "a pre-shrunk cloth",
        ],
        uses: [
            "draughty rooms", "long lie-ins", "guest bathrooms", "bare wooden floors", "picnics in the park",
            "light sleepers",
        ],
        categories: [
            category("Bed Linen", 7900, Options::Sizes, ["Duvet Cover", "Pillowcase", "Fitted Sheet", "Bedspread", "Flat Sheet", "Bolster"]),
            category("Bath", 2900, Options::Sizes, ["Bath Towel", "Hand Towel", "Bath Mat", "Beach Towel", "Face Cloth", "Bathrobe"]),
            category("Living", 4900, Options::Sizes, ["Cushion", "Throw", "Blanket", "Curtain", "Pouffe", "Seat Pad"]),
            category("Rugs", 15900, Options::Sizes, ["Rug", "Runner", "Doormat", "Kilim", "Round Rug", "Sheepskin"]),
            category("Table Linen", 2400, Options::Packs, ["Tablecloth", "Napkin", "Placemat", "Tea Towel", "Apron", "Oven Glove"]),
        ],
    },
    Department {
        name: "Beauty",
        materials: ["Shea Butter", "Rosehip", "Green Tea", "Aloe", "Lavender", "Argan", "Cedarwood", "Oat Milk"],
        features: [
            "no added perfume", "a pump that doses exactly", "a texture that sinks in quickly", "a refillable bottle",
            "oils pressed cold", "a mild lather", "a scent that fades softly", "a formula tested on sensitive skin",
        ],
        uses: [
            "dry winter skin", "the morning routine", "the gym bag", "sensitive scalps", "an evening ritual",
            "skin after sun",
        ],
        categories: [
            category("Face", 2900, Options::Volumes, ["Face Cream", "Serum", "Cleanser", "Toner", "Face Mask", "Eye Cream"]),
            category("Body", 1900, Options::Volumes, ["Body Lotion", "Shower Gel", "Hand Cream", "Body Scrub", "Bath Oil", "Deodorant"]),
            category("Hair", 1700, Options::Volumes, ["Shampoo", "Conditioner", "Hair Oil", "Hair Mask", "Styling Cream", "Dry Shampoo"]),
            category("Shaving", 1900, Options::Volumes, ["Shaving Cream", "Aftershave", "Beard Oil", "Beard Balm", "Pre-Shave Oil", "Shaving Soap"]),
            category("Fragrance", 5900, Options::Volumes, ["Eau de Parfum", "Eau de Toilette", "Room Spray", "Scented Candle", "Diffuser", "Cologne"]),
        ],
    },
    Department {
        name: "Outdoor",
        materials: ["Ripstop", "Softshell", "Titanium", "Aluminium", "Cordura", "Fleece", "Silnylon", "Down"],
        features: [
            "taped seams", "a pack size that fits a bottle holder", "reflective guy lines", "a two-way zip",
            "straps that adjust with one hand", "a roll-top closure", "stitching in a bright colour",
            "vents under the arms",
        ],
        uses: [
            "nights below zero", "ridge walks", "cycling tours", "paddling", "hut-to-hut hikes", "family campsites",
        ],
        categories: [
            category("Tents & Shelter", 24900, Options::Sizes, ["Tent", "Tarp", "Bivy", "Awning", "Hammock", "Groundsheet"]),
            category("Sleeping", 12900, Options::Sizes, ["Sleeping Bag", "Sleeping Mat", "Camp Pillow", "Liner", "Quilt", "Camp Cot"]),
            category("Packs", 13900, Options::Sizes, ["Hiking Pack", "Daypack", "Dry Bag", "Duffel", "Hip Pack", "Pannier"]),
            category("Camp Kitchen", 4900, Options::Sizes, ["Camp Stove", "Cook Set", "Flask", "Water Filter", "Spork", "Cool Box"]),
            category("Hiking", 6900, Options::Sizes, ["Trekking Pole", "Headlamp", "Gaiter", "Compass", "Trail Map Case", "First Aid Kit"]),
        ],
    },
    Department {
        name: "Sports",
        materials: ["Natural Rubber", "Carbon", "Neoprene", "Cast Steel", "Foam", "Bamboo Viscose", "Mesh", "Polyamide"],
        features: [
            "a grip that holds when wet", "a carry strap", "a textured surface", "markings for alignment",
            "a quick-drying cloth", "an even weight", "seams that lie flat", "a shock-absorbing core",
        ],
        uses: [
            "training at home", "studio classes", "interval sessions", "recovery days", "club matches",
            "cold open water",
        ],
        categories: [
            category("Yoga", 4900, Options::Sizes, ["Yoga Mat", "Yoga Block", "Yoga Strap", "Meditation Cushion", "Bolster Roll", "Mat Bag"]),
            category("Strength", 5900, Options::Sizes, ["Kettlebell", "Dumbbell", "Resistance Band", "Pull-Up Bar", "Weight Vest", "Medicine Ball"]),
            category("Running", 5900, Options::Clothes, ["Running Top", "Running Tight", "Running Jacket", "Running Vest", "Running Cap", "Arm Sleeve"]),
            category("Swimming", 3900, Options::Clothes, ["Swimsuit", "Swim Short", "Rash Guard", "Wetsuit", "Swim Cap", "Swim Parka"]),
            category("Cycling", 7900, Options::Clothes, ["Cycling Jersey", "Bib Short", "Cycling Glove", "Wind Jacket", "Cycling Cap", "Overshoe"]),
        ],
    },
    Department {
        name: "Toys & Kids",
        materials: ["Maple", "Felt", "Organic Plush", "Beechwood", "Recycled Plastic", "Cardboard", "Muslin", "Lime Wood"],
        features: [
            "colours safe for small mouths", "parts too large to swallow", "a storage bag", "rules in eight languages",
            "corners that are sanded round", "an easy first level", "a cover that can be washed", "room to grow",
        ],
        uses: [
            "rainy afternoons", "the first birthday", "long car rides", "quiet play", "three generations at a table",
            "small hands",
        ],
        categories: [
            category("Wooden Toys", 2900, Options::Packs, ["Train Set", "Stacking Tower", "Puzzle", "Pull Toy", "Marble Run", "Shape Sorter"]),
            category("Soft Toys", 2400, Options::Sizes, ["Teddy Bear", "Rag Doll", "Plush Rabbit", "Comforter", "Hand Puppet", "Plush Fox"]),
            category("Games", 3400, Options::Packs, ["Board Game", "Card Game", "Dice Game", "Memory Game", "Domino Set", "Quiz Box"]),
            category("Kids Clothing", 2400, Options::Clothes, ["Romper", "Dungaree", "Bodysuit", "Rain Suit", "Pinafore", "Snowsuit"]),
            category("Nursery", 4900, Options::Sizes, ["Mobile", "Baby Nest", "Changing Mat", "Night Light", "Swaddle", "Play Mat"]),
        ],
    },
    Department {
        name: "Electronics",
        materials: ["Anodised Aluminium", "Bamboo", "Braided Nylon", "Tempered Glass", "Silicone", "Magnesium", "Polycarbonate", "Vegan Leather"],
        features: [
            "a battery for a full week", "a status light that can be dimmed", "firmware that updates itself",
            "a cable of two metres", "buttons that are felt, not searched for", "fast charging",
            "a physical switch for the microphone", "a case that opens with plain screws",
        ],
        uses: [
            "calls on the move", "a tidy desk", "open-plan offices", "long flights", "watching films in bed",
            "travel across time zones",
        ],
        categories: [
            category("Audio", 9900, Options::Sizes, ["Headphone", "Earbud", "Speaker", "Soundbar", "Turntable", "Radio"]),
            category("Charging", 3900, Options::Packs, ["Power Bank", "Charger", "Charging Pad", "USB Cable", "Travel Adapter", "Charging Dock"]),
            category("Desk", 5900, Options::Sizes, ["Keyboard", "Mouse", "Laptop Stand", "Webcam", "Desk Mat", "Monitor Arm"]),
            category("Smart Home", 4900, Options::Packs, ["Smart Plug", "Motion Sensor", "Thermostat", "Door Sensor", "Smart Bulb", "Doorbell"]),
            category("Cases", 2900, Options::Sizes, ["Phone Case", "Tablet Cover", "Laptop Case", "Watch Strap", "Camera Strap", "Screen Protector"]),
        ],
    },
    Department {
        name: "Garden",
        materials: ["Terracotta", "Teak", "Galvanised Steel", "Cedar", "Corten Steel", "Forged Iron", "Coir", "Fibreclay"],
        features: [
            "a drain hole with a stopper", "a frost-proof glaze", "a handle shaped for both hands",
            "screws of stainless steel", "a hanger for the wall", "slats that let rain through",
            "a blade that can be sharpened", "wheels that lock",
        ],
        uses: [
            "sunny balconies", "raised beds", "heavy soil", "long summer dinners", "herbs by the window",
            "the last warm days of autumn",
        ],
        categories: [
            category("Pots", 2900, Options::Sizes, ["Flower Pot", "Planter", "Hanging Basket", "Saucer", "Window Box", "Plant Stand"]),
            category("Garden Tools", 2400, Options::Sizes, ["Trowel", "Pruner", "Hand Fork", "Hoe", "Rake", "Spade"]),
            category("Watering", 2900, Options::Sizes, ["Watering Can", "Garden Hose", "Sprinkler", "Plant Mister", "Hose Reel", "Rain Barrel"]),
            category("Garden Furniture", 19900, Options::Sizes, ["Garden Chair", "Garden Table", "Deck Chair", "Garden Bench", "Parasol", "Sun Lounger"]),
            category("Grilling", 8900, Options::Sizes, ["Charcoal Grill", "Fire Bowl", "Grill Tong", "Chimney Starter", "Pizza Stone", "Grill Cover"]),
        ],
    },
    Department {
        name: "Stationery",
        materials: ["Recycled Paper", "Kraft", "Brass", "Letterpress", "Cotton Paper", "Bookcloth", "Washi", "Bonded Leather"],
        features: [
            "paper that takes ink without bleeding", "numbered pages", "a binding that lies flat", "two ribbons",
            "a pocket inside the cover", "a clip that does not bend", "corners that are cut round",
            "a dotted grid in pale grey",
        ],
        uses: [
            "meeting notes", "travel journals", "letters worth keeping", "sketches on the train", "planning a year",
            "first drafts",
        ],
        categories: [
            category("Notebooks", 1700, Options::Packs, ["Notebook", "Planner", "Sketchbook", "Journal", "Memo Pad", "Address Book"]),
            category("Writing", 2400, Options::Packs, ["Fountain Pen", "Ballpoint", "Pencil", "Highlighter", "Rollerball", "Fineliner"]),
            category("Organizing", 1900, Options::Sizes, ["Pen Case", "Document Tray", "Binder", "Letter Opener", "Desk Organizer", "Magazine File"]),
            category("Paper", 1200, Options::Packs, ["Greeting Card", "Wrapping Paper", "Envelope", "Gift Tag", "Postcard", "Sticker Sheet"]),
            category("Art", 2900, Options::Packs, ["Watercolour Set", "Brush Set", "Easel", "Canvas Board", "Pastel Set", "Ink Bottle"]),
        ],
    },
];
