// Browsing at a constant arrival rate: lists, a second page, single products.
import http from "k6/http";
import { check } from "k6";

const base = __ENV.BASE || "http://127.0.0.1:8080";

export const options = {
  scenarios: {
    browse: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 100),
      timeUnit: "1s",
      duration: __ENV.DURATION || "20s",
      preAllocatedVUs: 32,
      maxVUs: 128,
    },
  },
  thresholds: { http_req_failed: ["rate<0.001"], http_req_duration: ["p(95)<200"] },
};

export default function () {
  const list = http.get(`${base}/v1/products?sort=best_selling&include=variants,images`, { tags: { name: "list" } });
  check(list, { "a list of products": (answer) => answer.status === 200 && answer.json("items").length > 0 });
  const next = list.json("next");
  if (next) {
    // `next` is opaque: it is followed as it is, whichever arm made it.
    check(http.get(base + next, { tags: { name: "next page" } }), { "a second page": (answer) => answer.status === 200 });
  }
  const slug = list.json(`items.${Math.floor(Math.random() * list.json("items").length)}.slug`);
  check(http.get(`${base}/v1/products/${slug}`, { tags: { name: "product" } }), { "a product": (answer) => answer.status === 200 });
}
