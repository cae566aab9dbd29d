package tests

// What the projects of the table are made of.
const (
	initGeneric = "alembic init -t generic alembic"
	useModels   = `sed -i.bak 's/^target_metadata = None/from models import Base; target_metadata = Base.metadata/' alembic/env.py && rm alembic/env.py.bak`

	models = `import datetime, decimal
from typing import Optional
from sqlalchemy import ForeignKey, Index, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    since: Mapped[Optional[datetime.date]]

class Invoice(Base):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    total: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), server_default="0")
    __table_args__ = (Index("ix_invoice_total", "total"),)
`

	// A plugin that says which table it was asked about.
	plugin = `import sys
from alembic.util import PriorityDispatchResult

def compare(autogen_context, upgrade_ops, schemas):
    print("plugin: comparing", sorted(autogen_context.metadata.tables), file=sys.stderr)
    return PriorityDispatchResult.CONTINUE

def setup(plugin):
    plugin.add_autogenerate_comparator(compare, "schema")
`

	hooks = `cat >> hooks.ini <<'END'
[post_write_hooks]
hooks = script, program, module
script.type = console_scripts
script.entrypoint = pip
script.options = --version
program.type = exec
program.executable = cat
program.options = REVISION_SCRIPT_FILENAME
module.type = module
module.module = tabnanny
module.options = -v REVISION_SCRIPT_FILENAME
END
sed '/^\[post_write_hooks\]$/r hooks.ini' alembic.ini | awk '/^\[post_write_hooks\]$/ && n++ {next} {print}' > new.ini && mv new.ini alembic.ini`
)

// Where a database is at several heads, Alembic prints them in the order of a
// set of objects, which depends on their addresses: hence sort.
var parityCases = []parityCase{
	{
		name:  "first migration",
		files: map[string]string{"models.py": models},
		run: []string{
			"alembic list_templates",
			initGeneric, useModels,
			"alembic heads", "alembic history", "alembic branches", "alembic current",
			"!alembic check",
			`alembic revision --autogenerate -m "first tables" --rev-id aa01`,
			"!alembic check", // not up to date
			"alembic upgrade head --sql",
			"alembic upgrade head",
			"alembic upgrade head", // nothing to do
			"alembic check",
			"alembic current", "alembic current -v", "alembic current --check-heads",
			`alembic revision --autogenerate -m "nothing changed" --rev-id aa02`,
			"!alembic current --check-heads",
			"alembic upgrade +1", "alembic downgrade -1",
			"alembic downgrade aa01:base --sql",
			"alembic downgrade base", "alembic current", "alembic heads -v",
			"!alembic upgrade nowhere", "!alembic no_such_command", "!alembic upgrade", "!alembic -c nowhere.ini heads",
		},
	},
	{
		name: "stamp, edit and show",
		run: []string{
			initGeneric,
			"alembic revision -m one --rev-id aa01", "alembic revision -m two --rev-id aa02",
			"alembic revision -m three --rev-id aa03 --rev-id aa03",
			"alembic ensure_version", "alembic ensure_version --sql",
			"alembic stamp aa02", "alembic current",
			"alembic stamp head --sql", "alembic stamp head", "alembic current -v",
			"alembic stamp --purge base", "alembic current",
			"alembic show head", "alembic show aa02", "alembic show base", "!alembic show nowhere",
			"EDITOR=cat alembic edit head", "EDITOR=true alembic edit aa01", "!EDITOR=false alembic edit aa01",
			"alembic history", "alembic history -v", "alembic history -i", "alembic history -r aa01:aa02",
			"alembic history -r=-2:", "alembic history -r :aa02", "alembic history -r current:",
			"alembic stamp aa01", "alembic history -r current:", "alembic history -i -v -r :current",
			"alembic -q upgrade head", "alembic upgrade head --tag=release", "alembic heads --resolve-dependencies",
		},
	},
	{
		name: "branches and merge",
		run: []string{
			initGeneric,
			"alembic revision -m base --rev-id aa01",
			"alembic revision -m left --rev-id bb01 --branch-label left",
			"alembic revision -m right --rev-id cc01 --head aa01 --splice",
			"alembic revision -m more --rev-id bb02 --head left@head --depends-on cc01",
			"alembic branches", "alembic branches -v", "alembic heads", "alembic heads -v",
			"alembic heads --resolve-dependencies", "alembic history", "alembic history -v",
			"!alembic upgrade head", "!alembic revision -m which",
			"alembic upgrade left@head", "alembic current | sort", "alembic upgrade heads", "alembic current -v | sort",
			"alembic merge bb02 cc01 -m together --rev-id dd01", "alembic history -v", "alembic upgrade head",
			"alembic downgrade bb02", // nothing but the merge
			"alembic revision -m alone --rev-id ee01 --head base --branch-label alone",
			"alembic upgrade alone@head", "alembic downgrade alone@base", "alembic show heads",
		},
	},
	{
		name: "options and names",
		run: []string{
			"alembic -c other.ini init -t generic scripts",
			"alembic -c other.ini revision -m one --rev-id aa01",
			"alembic --config other.ini heads", "ALEMBIC_CONFIG=other.ini alembic history",
			"sed 's/^\\[alembic\\]/[second]/' other.ini > second.ini",
			"alembic -c second.ini -n second heads", "!alembic -c second.ini heads",
			"alembic -c second.ini -n second upgrade head", "alembic -c second.ini --name second current",
			`printf 'print("x:", context.get_x_argument(as_dictionary=True))\n' >> scripts/env.py`,
			"alembic -c other.ini -x tenant=a -x b=c=d -x flag current",
			"alembic -c other.ini -q current", "!alembic -c other.ini --raiseerr upgrade nowhere",
		},
	},
	{
		name: "an app of Reflex",
		env:  []string{"ALEMBIC_INCLUDE_SCHEMAS=true"},
		files: map[string]string{
			"models.py":      models,
			"rxconfig.py":    "raise SystemExit('it is not to be run')\nconfig = rx.Config(app_name='shop', db_url='sqlite:///rx.db')\n",
			".env":           "REFLEX_DB_URL=sqlite:///env.db\n",
			"pyproject.toml": "[tool.reflex]\ndb_url = 'postgresql://u:p4ssw0rd@nowhere.invalid/d'\nother = 7\n",
		},
		run: []string{
			initGeneric, useModels,
			`alembic revision --autogenerate -m "first tables" --rev-id aa01`,
			"alembic upgrade head", "alembic current", "alembic check", "alembic heads",
		},
	},
	{
		name: "version locations",
		run: []string{
			initGeneric,
			`sed -i.bak 's,^# version_locations = .*,version_locations = %(here)s/first:%(here)s/second,; s,^path_separator = .*,path_separator = :,' alembic.ini && rm alembic.ini.bak`,
			"alembic revision -m one --rev-id aa01 --version-path first --head base --branch-label one",
			"alembic revision -m two --rev-id bb01 --version-path second --head base --branch-label two",
			"alembic revision -m more --rev-id aa02 --head one@head", "alembic history", "alembic heads -v",
			"alembic upgrade heads", "alembic current | sort", "alembic history -i",
		},
	},
	{
		name:  "package",
		files: map[string]string{"shop/__init__.py": ""},
		run: []string{
			"alembic init -t generic --package shop/migrations", "find shop -name '*.py' | sort",
			"alembic revision -m one --rev-id aa01", "alembic upgrade head", "!alembic init -t generic shop/migrations",
		},
	},
	{
		name:  "template async",
		url:   "sqlite+aiosqlite:///app.db",
		files: map[string]string{"models.py": models},
		run: []string{
			"alembic init -t async alembic", useModels, "alembic revision --autogenerate -m one --rev-id aa01",
			"alembic upgrade head --sql", "alembic upgrade head", "alembic current -v", "alembic check", "alembic downgrade base",
		},
	},
	{
		name:  "template pyproject",
		files: map[string]string{"models.py": models, "pyproject.toml": "[project]\nname = \"shop\"\nversion = \"1\"\n"},
		run: []string{
			"alembic init -t pyproject alembic", useModels, "alembic revision --autogenerate -m one --rev-id aa01",
			"alembic upgrade head", "alembic current -v", "alembic check", "alembic history",
			"alembic -c alembic.ini heads", "alembic -c pyproject.toml heads",
		},
	},
	{
		name:  "template pyproject_async",
		url:   "sqlite+aiosqlite:///app.db",
		files: map[string]string{"models.py": models},
		run: []string{
			"alembic init -t pyproject_async alembic", useModels, "alembic revision --autogenerate -m one --rev-id aa01",
			"alembic upgrade head", "alembic current -v", "alembic check",
		},
	},
	{
		name: "template multidb",
		run: []string{
			// In one line: each engine has a URL of its own, and REFLEX_DB_URL is none of them.
			`alembic init -t multidb alembic && sed -i.bak 's,driver://user:pass@localhost/dbname\(2*\)$,sqlite:///engine\1.db,' alembic.ini && rm alembic.ini.bak`,
			"alembic revision -m one --rev-id aa01", "alembic upgrade head --sql && cat engine1.sql engine2.sql",
			"alembic upgrade head", "alembic current", "alembic history -v", "alembic downgrade base",
		},
	},
	{
		name: "plugin",
		env:  []string{"PYTHONPATH=plugins"},
		files: map[string]string{
			"models.py":                                   models,
			"plugins/saying.py":                           plugin,
			"plugins/broken_name.py":                      "raise AssertionError('nobody asked for this one')\n",
			"plugins/saying-1.dist-info/METADATA":         "Metadata-Version: 2.1\nName: saying\nVersion: 1\n",
			"plugins/saying-1.dist-info/entry_points.txt": "[alembic.plugins]\nsaying = saying\n",
		},
		run: []string{
			initGeneric, useModels,
			`sed -i.bak 's/target_metadata=target_metadata$/target_metadata=target_metadata, autogenerate_plugins=["alembic.autogenerate.*", "saying"]/' alembic/env.py && rm alembic/env.py.bak`,
			"alembic revision --autogenerate -m one --rev-id aa01", "alembic upgrade head", "alembic check",
		},
	},
	{
		name: "post write hooks",
		run:  []string{initGeneric, hooks, "alembic revision -m hooked --rev-id aa01"},
	},
	{
		name: "revisions",
		run: []string{
			initGeneric,
			`sed -i.bak 's/^# \(file_template = %%(year)d_\)/\1/' alembic.ini && rm alembic.ini.bak`,
			`alembic revision -m "Ünïcode & spaces" --rev-id aa01`, "alembic show aa01",
			"alembic history", "!alembic revision -m again --rev-id aa01 --head nowhere",
			`printf '\ndef upgrade():\n    print("on stdout")\n    op.execute("CREATE TABLE t (x INTEGER)")\n' | tee -a alembic/versions/*aa01*.py`,
			"alembic upgrade head", "alembic upgrade base:head --sql", "alembic downgrade head:base --sql",
		},
	},
}
