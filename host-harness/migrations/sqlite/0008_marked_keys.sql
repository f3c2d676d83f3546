-- SQL cannot compare every spelling of a tax number or an e-mail: other alphabets, invisible characters, several addresses in
-- one field, words beside a number. Whatever holds more than plain signs is marked, and a reader looks through the marked ones itself.
ALTER TABLE contacts ADD COLUMN marked TEXT GENERATED ALWAYS AS (
    CASE WHEN email_key GLOB '*[^!-~]*' OR email_key GLOB '*[;,<>():"''/|]*' OR email_key GLOB '*.'
           OR email_key GLOB '*@*@*' OR tax_plain GLOB '*[^0-9A-Z]*' OR tax_plain GLOB '*[A-Z][A-Z][A-Z]*'
         THEN 'true' END
) VIRTUAL;
CREATE INDEX contacts_marked ON contacts (substr(tenant_id, -8), marked) WHERE marked IS NOT NULL;
