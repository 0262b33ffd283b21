"""What finds each query's best documents of the whole collection, and what is mined of them."""
