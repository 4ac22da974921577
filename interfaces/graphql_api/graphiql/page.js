// Starts GraphiQL on this bank, with a first query that works on any bank with a customer.
"use strict";

const FIRST_QUERY = `# Three customers, what they hold, and what moved last.
# Ctrl-Enter runs it; Ctrl-Space says what else there is.
# Of a bank that asks for a token, put it under Headers: {"Authorization": "Bearer ..."}
query FirstLook {
  customers(first: 3) {
    edges {
      node {
        name
        status
        accounts {
          role
          account {
            balance { amount currency }
            available { amount }
            transactions(first: 3) {
              edges { node { bookingDate kind amount { amount } balanceAfter { amount } } }
            }
          }
        }
      }
    }
    meta { position asOf lagMs }
  }
}
`;

const container = document.getElementById("graphiql");
container.textContent = "";
ReactDOM.createRoot(container).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultQuery: FIRST_QUERY,
    shouldPersistHeaders: false,
  }),
);
