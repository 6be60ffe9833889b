-- FROZEN: the cart that the first statement of order.pgbench looks up, with what is in it. It was ordered before.
insert into carts (id, token_hash) values ('01a22348-e425-77c1-bcf5-83e4097515c6', '\xbc74809db75d49732314a268557e2f7b7302f4279266d2fedaae68b982436731');
insert into cart_items (cart_id, variant_id, quantity)
select '01a22348-e425-77c1-bcf5-83e4097515c6', variants.id, 1
from variants join products on products.id = product_id
where active
order by variants.id
limit 1;
