//! Stands for Tugger, which packs what PyOxidizer makes: of it there is the
//! list of files to install, and nothing for other systems than Linux.

pub mod starlark {
    use starlark::{
        environment::{Environment, EnvironmentError, TypeValues},
        values::{
            error::{RuntimeError, ValueError},
            ValueResult,
        },
    };

    pub struct TuggerContext;

    impl TuggerContext {
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            TuggerContext
        }
    }

    pub fn register_starlark_dialect(
        env: &mut Environment,
        type_values: &mut TypeValues,
    ) -> Result<(), EnvironmentError> {
        file_manifest::file_manifest_module(env, type_values);
        Ok(())
    }

    pub fn populate_environment(
        _: &mut Environment,
        _: &mut TypeValues,
        _: TuggerContext,
    ) -> Result<(), EnvironmentError> {
        Ok(())
    }

    fn failed(label: &str, message: String) -> ValueError {
        ValueError::Runtime(RuntimeError {
            code: "FILES",
            message,
            label: label.to_string(),
        })
    }

    fn only_linux() -> ValueResult {
        Err(failed(
            "installer",
            "this PyOxidizer builds for Linux only".to_string(),
        ))
    }

    pub mod file_manifest {
        use super::failed;
        use simple_file_manifest::FileManifest;
        use starlark::{
            environment::TypeValues,
            starlark_fun, starlark_module, starlark_parse_param_type, starlark_signature,
            starlark_signature_extraction, starlark_signatures,
            values::{error::ValueError, Mutable, TypedValue, Value, ValueResult},
        };
        use starlark_dialect_build_targets::{
            get_context_value, EnvironmentContext, ResolvedTarget, ResolvedTargetValue, RunMode,
        };
        use std::{
            path::PathBuf,
            sync::{Arc, Mutex, MutexGuard},
        };

        /// Files to install.
        #[derive(Clone, Debug)]
        pub struct FileManifestValue {
            files: Arc<Mutex<FileManifest>>,
            pub run_path: Option<PathBuf>,
        }

        impl TypedValue for FileManifestValue {
            type Holder = Mutable<FileManifestValue>;
            const TYPE: &'static str = "FileManifest";

            fn values_for_descendant_check_and_freeze(&self) -> Box<dyn Iterator<Item = Value>> {
                Box::new(std::iter::empty())
            }
        }

        impl FileManifestValue {
            pub fn new_from_args() -> ValueResult {
                Ok(Value::new(FileManifestValue {
                    files: Arc::new(Mutex::new(FileManifest::default())),
                    run_path: None,
                }))
            }

            pub fn inner(&self, label: &str) -> Result<MutexGuard<FileManifest>, ValueError> {
                self.files
                    .try_lock()
                    .map_err(|e| failed(label, e.to_string()))
            }

            /// Writes the files to where the target's are.
            fn build(&self, types: &TypeValues, target: &str) -> ValueResult {
                let label = "FileManifest.build()";
                let context = get_context_value(types)?;
                let output_path = context
                    .downcast_ref::<EnvironmentContext>()
                    .ok_or(ValueError::IncorrectParameterType)?
                    .target_build_path(target);
                self.inner(label)?
                    .materialize_files_with_replace(&output_path)
                    .map_err(|e| failed(label, e.to_string()))?;
                Ok(Value::new(ResolvedTargetValue {
                    inner: ResolvedTarget {
                        run_mode: RunMode::None,
                        output_path,
                    },
                }))
            }
        }

        starlark_module! { file_manifest_module =>
            #[allow(non_snake_case)]
            FileManifest() {
                FileManifestValue::new_from_args()
            }

            FileManifest.build(env env, this, target: String) {
                let this = this
                    .downcast_ref::<FileManifestValue>()
                    .ok_or(ValueError::IncorrectParameterType)?;
                this.build(env, &target)
            }
        }
    }

    pub mod code_signing {
        use starlark::{
            environment::TypeValues,
            eval::call_stack::CallStack,
            values::{none::NoneType, Value, ValueResult},
        };
        use std::path::{Path, PathBuf};
        use tugger_code_signing::SigningDestination;

        pub enum SigningAction {
            Other(&'static str),
        }

        pub struct Signable;

        impl From<PathBuf> for Signable {
            fn from(_: PathBuf) -> Self {
                Signable
            }
        }

        pub struct SigningContext;

        impl SigningContext {
            pub fn new(_: &str, _: SigningAction, _: impl AsRef<Path>, _: &Signable) -> Self {
                SigningContext
            }

            pub fn set_path(&mut self, _: impl AsRef<Path>) {}

            pub fn set_signing_destination(&mut self, _: SigningDestination) {}
        }

        pub fn handle_signable_event(
            _: &TypeValues,
            _: &mut CallStack,
            _: SigningContext,
        ) -> ValueResult {
            Ok(Value::new(NoneType::None))
        }
    }

    /// Makes a type of installers that cannot be made.
    macro_rules! installer {
        ($value:ident, $name:literal) => {
            #[derive(Clone)]
            pub struct $value;

            impl starlark::values::TypedValue for $value {
                type Holder = starlark::values::Mutable<$value>;
                const TYPE: &'static str = $name;

                fn values_for_descendant_check_and_freeze(
                    &self,
                ) -> Box<dyn Iterator<Item = starlark::values::Value>> {
                    Box::new(std::iter::empty())
                }
            }

            impl $value {
                pub fn new_from_args(
                    _: String,
                    _: String,
                    _: String,
                    _: String,
                    _: String,
                ) -> starlark::values::ValueResult {
                    super::only_linux()
                }
            }
        };
    }

    pub mod wix_bundle_builder {
        use super::wix_msi_builder::WiXMsiBuilderValue;
        use starlark::{
            environment::TypeValues,
            values::{Value, ValueResult},
        };

        installer!(WiXBundleBuilderValue, "WiXBundleBuilder");

        impl WiXBundleBuilderValue {
            pub fn add_vc_redistributable(&mut self, _: &TypeValues, _: String) -> ValueResult {
                super::only_linux()
            }

            pub fn add_wix_msi_builder(
                &mut self,
                _: WiXMsiBuilderValue,
                _: bool,
                _: Value,
            ) -> ValueResult {
                super::only_linux()
            }
        }
    }

    pub mod wix_msi_builder {
        use super::file_manifest::FileManifestValue;
        use starlark::{environment::TypeValues, eval::call_stack::CallStack, values::ValueResult};

        installer!(WiXMsiBuilderValue, "WiXMSIBuilder");

        impl WiXMsiBuilderValue {
            pub fn add_program_files_manifest(
                &mut self,
                _: &TypeValues,
                _: &mut CallStack,
                _: FileManifestValue,
            ) -> ValueResult {
                super::only_linux()
            }
        }
    }
}
