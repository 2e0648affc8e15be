// Checks the translations: every text of package.json and of the extension's code is there in every language, with the same
// placeholders and commands, and none is left over. Fails with the list of what is wrong.
import fs from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const LANGUAGES = ['de', 'zh-cn'];
const SOURCES = 'extension/src';
/** Texts that are names or code and read the same in every language. */
const SAME = /^(Trickster|Experiment|Checkpoint)$|^[^\p{L}]*(?:\{\d\}[^\p{L}]*)*$/u;
const MESSAGES = /^show(Information|Warning|Error)Message$/;
/** Fields of package.json that people read. */
const READ = /^(title|name|contents|description|markdownDescription|displayName|enumDescriptions)$/;

const faults = [];
const json = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));

/** What must survive a translation: placeholders, links to commands, code. */
function fixed(text) {
  return [...text.matchAll(/\{\d\}|\(command:[^)]+\)|`[^`]+`/g)]
    .map(([found]) => found)
    .sort()
    .join(' ');
}

function compare(where, english, translated) {
  for (const [key, text] of Object.entries(english)) {
    const other = translated[key];
    if (typeof other !== 'string' || other.trim() === '') {
      faults.push(`${where} lacks ${JSON.stringify(key)}`);
    } else if (fixed(text) !== fixed(other)) {
      faults.push(`${where}: ${JSON.stringify(key)} has other placeholders, links or code`);
    }
  }
  for (const key of Object.keys(translated)) {
    if (!(key in english)) {
      faults.push(`${where} has ${JSON.stringify(key)}, which nothing uses`);
    }
  }
}

/** The texts of the code, and a fault for each that a person would see untranslated. */
function textsOfCode() {
  const texts = {};
  for (const file of fs.readdirSync(SOURCES, { recursive: true }).filter((name) => name.endsWith('.ts'))) {
    const name = path.join(SOURCES, file);
    const source = ts.createSourceFile(name, fs.readFileSync(name, 'utf8'), ts.ScriptTarget.Latest, true);
    const at = (node) => `${name}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
    const visit = (node) => {
      if (ts.isCallExpression(node)) {
        const called = node.expression.getText();
        const [first] = node.arguments;
        if (/\bl10n\.t$/.test(called)) {
          if (first && ts.isStringLiteral(first)) {
            texts[first.text] = first.text;
          } else {
            faults.push(`${at(node)}: l10n.t takes a plain text first`);
          }
        } else if (MESSAGES.test(called.split('.').at(-1) ?? '')) {
          for (const argument of node.arguments) {
            if (ts.isStringLiteralLike(argument) || ts.isTemplateExpression(argument)) {
              faults.push(`${at(argument)}: a message that is not translated`);
            }
          }
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return texts;
}

/** What a model reads and no person. */
const FOR_AGENTS = /\.languageModelTools\[\d+\]\.(name|inputSchema)$/;

/** The keys that package.json names, and a fault for each text in it that has none. */
function keysOfManifest() {
  const keys = new Set();
  const look = (value, field, place) => {
    if (FOR_AGENTS.test(place)) {
      return;
    }
    if (typeof value === 'string') {
      const [, key] = /^%(.+)%$/.exec(value) ?? [];
      if (key !== undefined) {
        keys.add(key);
      } else if (READ.test(field) && !SAME.test(value)) {
        faults.push(`package.json: ${place} is not translated`);
      }
    } else if (Array.isArray(value)) {
      value.forEach((one, index) => look(one, field, `${place}[${index}]`));
    } else if (value !== null && typeof value === 'object') {
      Object.entries(value).forEach(([name, one]) => look(one, name, `${place}.${name}`));
    }
  };
  const manifest = json('package.json');
  for (const field of ['displayName', 'description', 'capabilities', 'contributes']) {
    look(manifest[field], field, field);
  }
  return keys;
}

const english = json('package.nls.json');
const keys = keysOfManifest();
compare('package.nls.json', Object.fromEntries([...keys].map((key) => [key, english[key] ?? ''])), english);
const texts = textsOfCode();
for (const language of LANGUAGES) {
  compare(`package.nls.${language}.json`, english, json(`package.nls.${language}.json`));
  compare(`l10n/bundle.l10n.${language}.json`, texts, json(`l10n/bundle.l10n.${language}.json`));
}
if (faults.length > 0) {
  console.error(faults.join('\n'));
  process.exit(1);
}
console.log(
  `${Object.keys(english).length + Object.keys(texts).length} texts in English and ${LANGUAGES.join(', ')}`,
);
