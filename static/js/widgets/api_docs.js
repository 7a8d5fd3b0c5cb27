// Renders the OpenAPI document with Swagger UI, using files of this installation only.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api-docs",
  syntaxHighlight: false, // its red on grey has too little contrast
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // the default sends the document to a public validator
});
