// Draws the description of the REST API with Swagger UI, from files of this installation alone.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api-docs",
  syntaxHighlight: false, // its red on grey is too faint to read
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // its default asks a site on the internet
});
