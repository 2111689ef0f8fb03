"""Which modules of Django's test suite have to do with a database backend.

Left out are those that never reach one (templates, URLs, forms, HTTP, the admin's HTML, GIS and
PostgreSQL): they would only make the run longer.
"""

GROUPS = {
    "backend": "backends db_typecasts db_utils dbshell transactions transaction_hooks"
    " select_for_update raw_query async multiple_database",
    "schema": "schema migrations migrations2 migrate_signals migration_test_data_persistence"
    " custom_migration_operations introspection inspectdb constraints indexes model_indexes"
    " custom_columns custom_pk composite_pk unmanaged_models swappable_models",
    "queries": "queries lookup custom_lookups reverse_lookup or_lookups xor_lookups null_queries"
    " null_fk null_fk_ordering string_lookup distinct_on_fields ordering order_with_respect_to"
    " extra_regress filtered_relation dates datetimes get_earliest_or_latest get_object_or_404"
    " known_related_objects nested_foreign_keys mutually_referential queryset_pickle pagination"
    " from_db_value defer defer_regress select_related select_related_onetoone"
    " select_related_regress prefetch_related",
    "expressions": "aggregation aggregation_regress annotations expressions expressions_case"
    " expressions_window db_functions",
    "writing": "basic bulk_create get_or_create delete delete_regress force_insert_update update"
    " update_only_fields save_delete_hooks signals empty field_defaults max_lengths datatypes",
    "models": "model_fields field_subclassing model_inheritance model_inheritance_regress"
    " model_meta model_options model_package model_regress model_utils proxy_models"
    " proxy_model_inheritance properties custom_managers custom_methods managers_regress"
    " reserved_names str validation",
    "relations": "many_to_many many_to_one many_to_one_null one_to_one foreign_object"
    " m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals m2m_through"
    " m2m_through_regress m2o_recursive generic_relations generic_relations_regress"
    " contenttypes_tests",
    "serving": "handlers requests_tests servers test_client test_client_regress test_runner"
    " test_utils user_commands",
    "contrib": "auth_tests cache sessions_tests fixtures fixtures_model_package fixtures_regress"
    " serializers timezones model_forms model_formsets model_formsets_regress admin_changelist"
    " admin_filters admin_ordering admin_utils redirects_tests sites_framework sites_tests"
    " flatpages_tests",
}
"""Modules by group, as the report shows them. A module that a Django version lacks is left out."""

CORE = (
    "backends transactions transaction_hooks select_for_update raw_query multiple_database basic"
    " bulk_create get_or_create delete update introspection constraints queries prefetch_related"
    " custom_pk fixtures sessions_tests timezones handlers servers db_utils test_utils"
)
"""Where a backend goes wrong first: connections, transactions, cursors, threads, the runner."""


def all_modules() -> list[str]:
    """Every module of every group, in the order of the groups."""
    return " ".join(GROUPS.values()).split()


def core_modules() -> list[str]:
    """The modules for a quick answer."""
    return CORE.split()
