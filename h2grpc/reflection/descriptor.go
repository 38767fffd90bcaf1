package reflection

import "google.golang.org/protobuf/encoding/protowire"

// The fields of google/protobuf/descriptor.proto that this package reads or
// writes, by message.
const (
	setFile protowire.Number = 1 // FileDescriptorSet

	fileName             protowire.Number = 1 // FileDescriptorProto
	filePackage          protowire.Number = 2
	fileDependency       protowire.Number = 3
	fileMessage          protowire.Number = 4
	fileEnum             protowire.Number = 5
	fileService          protowire.Number = 6
	fileExtension        protowire.Number = 7
	fileOptions          protowire.Number = 8
	filePublicDependency protowire.Number = 10
	fileSyntax           protowire.Number = 12
	fileEdition          protowire.Number = 14
	fileOptionDependency protowire.Number = 15

	messageName           protowire.Number = 1 // DescriptorProto
	messageField          protowire.Number = 2
	messageNested         protowire.Number = 3
	messageEnum           protowire.Number = 4
	messageExtensionRange protowire.Number = 5
	messageExtension      protowire.Number = 6
	messageOptions        protowire.Number = 7
	messageOneof          protowire.Number = 8
	messageReservedRange  protowire.Number = 9
	messageReservedName   protowire.Number = 10
	messageVisibility     protowire.Number = 11

	rangeStart   protowire.Number = 1 // ExtensionRange, ReservedRange, EnumReservedRange
	rangeEnd     protowire.Number = 2
	rangeOptions protowire.Number = 3 // ExtensionRange only

	fieldName           protowire.Number = 1 // FieldDescriptorProto
	fieldExtendee       protowire.Number = 2
	fieldNumber         protowire.Number = 3
	fieldLabel          protowire.Number = 4
	fieldType           protowire.Number = 5
	fieldTypeName       protowire.Number = 6
	fieldDefault        protowire.Number = 7
	fieldOptions        protowire.Number = 8
	fieldOneofIndex     protowire.Number = 9
	fieldJSONName       protowire.Number = 10
	fieldProto3Optional protowire.Number = 17

	oneofName    protowire.Number = 1 // OneofDescriptorProto
	oneofOptions protowire.Number = 2

	enumName          protowire.Number = 1 // EnumDescriptorProto
	enumValue         protowire.Number = 2
	enumOptions       protowire.Number = 3
	enumReservedRange protowire.Number = 4
	enumReservedName  protowire.Number = 5
	enumVisibility    protowire.Number = 6

	valueName    protowire.Number = 1 // EnumValueDescriptorProto
	valueNumber  protowire.Number = 2
	valueOptions protowire.Number = 3

	serviceName    protowire.Number = 1 // ServiceDescriptorProto
	serviceMethod  protowire.Number = 2
	serviceOptions protowire.Number = 3

	methodName            protowire.Number = 1 // MethodDescriptorProto
	methodInput           protowire.Number = 2
	methodOutput          protowire.Number = 3
	methodOptions         protowire.Number = 4
	methodClientStreaming protowire.Number = 5
	methodServerStreaming protowire.Number = 6

	optionPacked        protowire.Number = 2  // FieldOptions
	optionFieldFeatures protowire.Number = 21 // FieldOptions
	optionAllowAlias    protowire.Number = 2  // EnumOptions
	optionEnumFeatures  protowire.Number = 7  // EnumOptions
	optionMapEntry      protowire.Number = 7  // MessageOptions

	featurePresence protowire.Number = 1 // FeatureSet, and the values in use
	featureEnumType protowire.Number = 2
	featureRepeated protowire.Number = 3
	featureEncoding protowire.Number = 5

	presenceImplicit       = 2
	presenceLegacyRequired = 3
	enumTypeClosed         = 2
	repeatedExpanded       = 2
	encodingDelimited      = 2
)
