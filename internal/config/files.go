package config

import (
	"reflect"
	"slices"
	"strings"
)

// Reads returns the files that v, a part of the configuration, has read when
// it is run: values whose key is marked with the tag reads. Each comes once.
func (f *File) Reads(v any) []string {
	all := f.reads(nil, reflect.ValueOf(v))
	slices.Sort(all)
	return slices.Compact(all)
}

func (f *File) reads(all []string, v reflect.Value) []string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			all = f.reads(all, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = f.reads(all, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			suffix, marked := field.Tag.Lookup("reads")
			switch {
			case !field.IsExported():
			case !marked:
				all = f.reads(all, v.Field(i))
			case v.Field(i).String() != "" && strings.HasSuffix(v.Field(i).String(), suffix):
				all = append(all, f.Join(v.Field(i).String()))
			}
		}
	}
	return all
}
